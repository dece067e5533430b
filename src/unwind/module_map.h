// ModuleMap: which program and which libraries lay where in the memory of a process, told by the
// kernel: /proc/PID/maps of a living one, NT_FILE and the segments of a core.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unwind/core_notes.h"
#include "unwind/process_memory.h"

namespace telem {

// A range of memory that is mapped in one piece.
struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;  // bytes into the file
  bool executable = false;
  bool writable = false;
  std::string path;  // "/usr/lib/x.so", "[vdso]", or empty for memory without a file
  bool deleted = false;
};

// A file whose code is mapped.
struct Module {
  std::string path;
  bool deleted = false;  // the file has no such name any more
  uint64_t start = 0;    // of its first mapping, which holds the ELF header
  uint64_t end = 0;
  uint64_t first_end = 0;  // of the first mapping: /proc/PID/map_files names it START-END
};

inline constexpr char kVdso[] = "[vdso]";
inline constexpr size_t kMaxModules = 4096;

class ModuleMap {
 public:
  ModuleMap() = default;
  // `mappings` in any order.
  explicit ModuleMap(std::vector<Mapping> mappings);

  const std::vector<Module>& modules() const { return modules_; }
  // The index of the module at `address`.
  std::optional<size_t> FindModule(uint64_t address) const;
  const Mapping* FindMapping(uint64_t address) const;
  bool IsExecutable(uint64_t address) const;

 private:
  std::vector<Mapping> mappings_;  // by address, without overlaps
  std::vector<Module> modules_;    // by address, without overlaps
};

// The text of /proc/PID/maps (proc(5)). Lines that are none are passed over.
std::vector<Mapping> ParseMaps(std::string_view text);

// The same as far as a core tells. Where it has no NT_FILE, no file is known.
std::vector<Mapping> MappingsOf(const CoreNotes& notes);

}  // namespace telem
