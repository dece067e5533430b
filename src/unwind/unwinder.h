// Unwinder: from registers and memory to the return addresses on a stack, and from a module to its
// symbols: the one seam to libdw and libdwfl. All that these look at comes through us: memory from
// ProcessMemory, files as descriptors from ModuleFiles. They open nothing, ask no network, and so
// can do their work where a process has no rights.
//
// An Unwinder belongs to one thread, and what was handed in must outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "unwind/core_notes.h"
#include "unwind/elf_image.h"
#include "unwind/module_map.h"
#include "unwind/process_memory.h"

using Dwfl_Module = struct Dwfl_Module;

namespace telem {

// Opens files for those who may not.
class ModuleFiles {
 public:
  virtual ~ModuleFiles() = default;
  // The file that is mapped as module `index` of the map; invalid where it cannot be had.
  virtual UniqueFd OpenModule(size_t index) = 0;
  // The file with the debug information of that module, by its build id (lower-case hex, may be
  // empty) or by the name that its .gnu_debuglink has (may be empty). Not checked.
  virtual UniqueFd OpenDebugFile(size_t index, std::string_view build_id,
                                 std::string_view debuglink) = 0;
};

enum class ModuleOrigin {
  kUnused,     // no address was in it
  kFile,       // the file that is mapped
  kMemory,     // there was no file, so as much as the memory of the process has
  kOtherFile,  // the file at its path is another one by now, and the memory has not enough
  kNowhere,    // neither could be had
};

struct StackFrame {
  uint64_t pc = 0;
  // Whether `pc` is where a call returns to: the call itself, which people want to see, is before.
  bool is_return_address = false;

  uint64_t lookup() const { return is_return_address && pc > 0 ? pc - 1 : pc; }
  bool operator==(const StackFrame&) const = default;
};

struct ThreadStack {
  pid_t tid = 0;
  std::vector<StackFrame> frames;
  uint64_t left_out = 0;       // frames beyond a limit
  bool more_left_out = false;  // and they were not counted to their end
};

class Unwinder {
 public:
  // Frames beyond the limit of Unwind() that are still counted.
  static constexpr size_t kMaxCounted = 4096;

  static Result<std::unique_ptr<Unwinder>> Create(const CoreNotes& notes, const ModuleMap& map,
                                                  ProcessMemory& memory, ModuleFiles& files);
  virtual ~Unwinder() = default;

  // At most `limit` frames, and those that were found before `end`. A stack that cannot be followed
  // ends where it cannot; the first frame is always there.
  virtual ThreadStack Unwind(const ThreadState& thread, size_t limit, const Clock& clock,
                             MonotonicTime end) = 0;

  // For the Symbolizer: the module at `address`, or nullptr.
  virtual Dwfl_Module* FindDwflModule(uint64_t address) = 0;

  // What module `index` says of itself, in memory or else in its file.
  virtual const ElfFacts& Facts(size_t index) = 0;
  // Where it came from, once somebody wanted to know something of it.
  virtual ModuleOrigin Origin(size_t index) const = 0;

  virtual const ModuleMap& map() const = 0;
  virtual ModuleFiles& files() = 0;
};

}  // namespace telem
