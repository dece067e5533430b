// ELF files as unwinding meets them: a file on disk, or an image that is only left in memory.
#pragma once

#include <string>
#include <vector>

#include "unwind/process_memory.h"

namespace telem {

// The bytes of a file by their offset (descriptor not owned), so that what reads an image in memory
// reads a file as well.
class ElfFileMemory final : public ProcessMemory {
 public:
  explicit ElfFileMemory(int fd) : file_(fd) {}
  size_t Read(uint64_t address, std::span<char> out) override { return file_.Read(address, out); }

 private:
  LiveMemory file_;
};

// What an ELF image says of itself.
struct ElfFacts {
  std::string build_id;  // of NT_GNU_BUILD_ID, in lower-case hex; may be empty
  std::string package;   // the JSON of .note.package (systemd's PACKAGE_METADATA); may be empty
  uint64_t first_address = 0;  // what the linker took the start of the image for
};

// Of the image that starts at `address`; nothing is known where its memory cannot be read.
ElfFacts ReadElfFacts(ProcessMemory& memory, uint64_t address);

inline constexpr size_t kMaxElfImage = size_t{64} * 1024 * 1024;

// What the file of the image at `start` must have looked like, as far as it is loaded: the vdso,
// which has no file, or a module whose file cannot be had. Without section headers where these are
// not in memory. Empty when there is no ELF image, it is larger than kMaxElfImage, or its code
// cannot be read.
std::vector<char> ReadElfImage(ProcessMemory& memory, uint64_t start, uint64_t end);

}  // namespace telem
