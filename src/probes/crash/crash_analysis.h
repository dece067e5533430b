// CrashAnalysis: from what the kernel wrote about a process to the text of a record: the stacks of
// all threads with names, the modules, the registers, the signatures. This is the part that looks
// into foreign ELF files and DWARF, so it runs in a sandbox (analysis_child.h) and asks for
// everything through ProcessMemory and ModuleFiles.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "unwind/unwinder.h"

namespace telem {

inline constexpr size_t kTextsOfReport = 4;
// Of these the first ones, for which the memory of the process is read.
inline constexpr size_t kTextsOfMemory = 2;

struct AnalysisLimits {
  size_t bytes = size_t{250} * 1024;  // of the text
  size_t frames = 64;                 // of a thread
  size_t crashing_frames = 256;       // of the one that crashed
  // For the stack of the thread that crashed, and what is left of it, but at least half of it, for
  // those of the others: for each half of what is left then. Threads that are not begun before the
  // end are left out. Names are looked up until twice that.
  std::chrono::milliseconds time{1500};
  // For people: whether to emit one more text, a line "PATH: …" for each module that was looked
  // into, with where its contents and names came from.
  bool tells_origins = false;
};

// Calls `emit` four times (kTextsOfReport): with the stack of the thread that crashed, with those
// of all threads, with the names that symbol tables have, and then with everything. Of the early
// texts one has something even when a broken or huge file ends or holds up the rest; `memory` is
// not read any more behind the second one (kTextsOfMemory).
//
// The text holds the lines from "Build-ID:" to "Signature:" (crashprobe(8)).
// Nothing of it is memory of the process: of the registers those are told that point into code, by
// what they point to. What does not fit into the limits is left out from the back, and that is
// said.
void AnalyseCrash(const CoreNotes& notes, const ModuleMap& map, ProcessMemory& memory,
                  ModuleFiles& files, const AnalysisLimits& limits, const Clock& clock,
                  const std::function<void(std::string_view)>& emit);

// Where the address of a fault points, in words that give no memory away: "0x10" (near zero),
// "[/usr/bin/x] +0x1234", "stack", "memory", "nothing".
std::string DescribeAddress(uint64_t address, const CoreNotes& notes, const ModuleMap& map);

// The path of a module as records show it: outside of /usr, /opt and the like only its file name,
// for a path can say who the user is.
std::string ShownModule(std::string_view path);

}  // namespace telem
