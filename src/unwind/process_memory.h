// ProcessMemory: the memory of a process that crashed, wherever it is: still in the process, or in
// a core. Only read, and only where somebody asks: the cost does not grow with the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "unwind/core_notes.h"

namespace telem {

class ProcessMemory {
 public:
  virtual ~ProcessMemory() = default;
  // How many bytes from `address` on could be read into `out`, in one piece.
  virtual size_t Read(uint64_t address, std::span<char> out) = 0;

  bool ReadAll(uint64_t address, std::span<char> out) { return Read(address, out) == out.size(); }
};

// /proc/PID/mem (not owned).
class LiveMemory final : public ProcessMemory {
 public:
  explicit LiveMemory(int fd) : fd_(fd) {}
  size_t Read(uint64_t address, std::span<char> out) override;

 private:
  int fd_;
};

// A core file, or what KeepStacks() kept of a stream (not owned). What the kernel left out of the
// core, or what is cut off from a truncated one, cannot be read.
class CoreMemory final : public ProcessMemory {
 public:
  // `segments` in any order; those that overlap an earlier one are left out.
  CoreMemory(int fd, std::vector<CoreSegment> segments);
  size_t Read(uint64_t address, std::span<char> out) override;

 private:
  int fd_;
  std::vector<CoreSegment> segments_;  // by address
};

// Another memory through a few pages that were read last: unwinding asks for eight bytes at a time,
// mostly beside the former ones.
class CachedMemory final : public ProcessMemory {
 public:
  explicit CachedMemory(ProcessMemory& memory) : memory_(memory), pages_(kPages) {}
  size_t Read(uint64_t address, std::span<char> out) override;

 private:
  static constexpr size_t kPages = 64;
  static constexpr size_t kPageSize = 4096;
  struct Page {
    uint64_t address = UINT64_MAX;
    size_t size = 0;
    std::vector<char> bytes;
  };
  const Page& Get(uint64_t page_address);

  ProcessMemory& memory_;
  std::vector<Page> pages_;
};

// Copies from `core`, which stands behind the notes, what unwinding needs into the file `out`, at
// the offsets that it has in the core: the stack of each thread from its stack pointer on, and the
// start of every other segment. The rest is thrown away; at most `limit` bytes are kept. Returns
// how many were.
Result<uint64_t> KeepStacks(ByteSource& core, uint64_t position, const CoreNotes& notes, int out,
                            uint64_t limit);

}  // namespace telem
