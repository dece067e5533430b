// CrashEvidence: what there is of a process that crashed, and the ways to come by it. The best
// first: the dying process itself, which the kernel holds while its core is being taken; a core
// file; a core that streams by, of which the stacks are kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "probes/crash/live_process.h"
#include "unwind/core_notes.h"
#include "unwind/module_map.h"
#include "unwind/process_memory.h"

namespace telem {

struct CrashEvidence {
  CoreNotes notes;
  ModuleMap map;
  std::string exe;  // of the main module, without " (deleted)"
  std::string cgroup;
  bool in_container = false;
  const char* source = "";  // for people

  UniqueFd memory_file;  // what `memory` reads
  std::unique_ptr<ProcessMemory> memory;
  std::vector<UniqueFd> modules;
  UniqueFd root;  // where the files of the process lie; invalid for our own root

  // What was read of the core in front of what has still to come, where somebody else wants it;
  // empty when nothing of it is to come any more.
  std::string start;

  // What the sandbox has to keep open.
  std::vector<int> Descriptors() const;
};

// A core in a file that can be read at any place (taken over). `root` is the folder below which the
// files of its machine lie; empty for the root folder.
Result<CrashEvidence> ReadCoreFile(UniqueFd core, const std::string& root);

// A core that comes from a pipe. What is kept of it lies without a name in `folder` and goes away
// with the evidence.
Result<CrashEvidence> ReadCoreStream(int core, const std::string& root, const std::string& folder);

// A core that the kernel writes into a pipe or socket, of a process that is still there: only its
// notes are read. `proc` is OpenProcess() of it, where that is known; else the pid in the notes is
// taken when the process of that number is being dumped and is called `name`. Where it cannot be
// looked into, the stream is all there is (ReadCoreStream). `keep_start`: fill in `start`.
Result<CrashEvidence> ReadDyingProcess(int core, UniqueFd proc, const std::string& name,
                                       const std::string& folder, bool keep_start);

}  // namespace telem
