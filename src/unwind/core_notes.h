// CoreNotes: what stands at the front of a core file, before any memory: which threads there were,
// with what registers, by which signal the process ended, and which files it had mapped. This is
// all that a crash handler has to read when the process itself is still there.
//
// Formats: core(5), elf(5), and the notes as fs/binfmt_elf.c of Linux writes them. 64-bit
// little-endian cores of x86_64 and aarch64 are read on any machine. The bytes are foreign: every
// size is checked against a limit before anything is allocated.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace telem {

enum class Machine { kX86_64, kAarch64 };

// Bytes that come in order and cannot be read twice.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `out` from its start; fewer bytes than asked for mean that there are no more.
  virtual Result<size_t> Read(std::span<char> out) = 0;
};

// From a descriptor (not owned): a file, a pipe or a socket. Reads ahead.
class FdSource final : public ByteSource {
 public:
  explicit FdSource(int fd) : fd_(fd) {}
  Result<size_t> Read(std::span<char> out) override;

  // From here on everything that is read, also ahead, is copied, until TakeCopy().
  void KeepCopy() { keeps_copy_ = true; }
  std::string TakeCopy() {
    keeps_copy_ = false;
    return std::exchange(copy_, {});
  }

 private:
  int fd_;
  bool keeps_copy_ = false;
  std::string copy_;
  std::vector<char> ahead_;
  size_t used_ = 0;  // of ahead_
};

class SpanSource final : public ByteSource {
 public:
  explicit SpanSource(std::span<const char> bytes) : rest_(bytes) {}
  Result<size_t> Read(std::span<char> out) override;

 private:
  std::span<const char> rest_;
};

// The general registers of a thread in the order of the kernel's user_regs_struct (x86_64, 27) or
// user_pt_regs (aarch64, 34).
struct ThreadState {
  pid_t tid = 0;
  int signal = 0;
  std::array<uint64_t, 34> registers{};
};

// What of siginfo_t tells how a process ended.
struct SignalInfo {
  int number = 0;
  int code = 0;
  uint64_t address = 0;  // only where HasAddress()
  // Whether a fault at an address caused it, and not a call like kill(2).
  bool HasAddress() const;
};

// A part of a file in memory, from NT_FILE.
struct MappedFile {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;  // bytes into the file
  std::string path;     // may end in " (deleted)"
};

// A part of memory as PT_LOAD describes it.
struct CoreSegment {
  uint64_t start = 0;
  uint64_t memory_size = 0;
  uint64_t file_offset = 0;
  uint64_t file_size = 0;  // less than memory_size where the kernel left the rest out
  uint32_t flags = 0;      // PF_X, PF_W, PF_R
};

struct CoreNotes {
  Machine machine = Machine::kX86_64;
  pid_t pid = 0;
  std::string command;               // the 15 bytes of comm, as they stand there
  std::vector<ThreadState> threads;  // the one that crashed is first
  std::optional<SignalInfo> signal_info;
  std::vector<MappedFile> files;
  std::map<uint64_t, uint64_t> auxv;  // getauxval(3): types to values
  std::vector<CoreSegment> segments;
  bool truncated = false;         // the core ends within the notes
  uint64_t end = 0;               // how many bytes were read
  uint64_t threads_left_out = 0;  // beyond kMaxThreads

  int signal() const;
};

inline constexpr size_t kMaxThreads = 8192;
inline constexpr size_t kMaxSegments = 262'144;  // 4 times the kernel's default of vm.max_map_count
inline constexpr size_t kMaxFileNote = size_t{16} * 1024 * 1024;
inline constexpr uint64_t kMaxNotesEnd = uint64_t{512} * 1024 * 1024;

// Reads from the first byte of a core to the end of its notes, and asks `core` for nothing behind
// them. kInvalid for what is no core of a known machine. A core that ends early gives what came
// before the end.
Result<CoreNotes> ReadCoreNotes(ByteSource& core);

// Pairs of words, as NT_AUXV and /proc/PID/auxv hold them.
std::map<uint64_t, uint64_t> ParseAuxv(std::span<const char> content);

uint64_t ProgramCounter(Machine machine, const ThreadState& thread);
uint64_t StackPointer(Machine machine, const ThreadState& thread);

// The names of ThreadState::registers, in their order; those that do not tell where a program was
// (flags, segments) are left out as nullptr.
std::span<const char* const> RegisterNames(Machine machine);

}  // namespace telem
