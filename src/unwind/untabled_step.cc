#include "unwind/untabled_step.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace telem {
namespace {

// Places in ThreadState::registers
constexpr size_t kX86Rbp = 4;
constexpr size_t kX86Rip = 16;
constexpr size_t kX86Rsp = 19;

// mov $15, %rax; syscall
constexpr std::array<unsigned char, 9> kX86SignalReturn = {0x48, 0xc7, 0xc0, 0x0f, 0,
                                                           0,    0,    0x0f, 0x05};
// mov x8, #139; svc #0
constexpr std::array<unsigned char, 8> kArmSignalReturn = {0x68, 0x11, 0x80, 0xd2,
                                                           0x01, 0x00, 0x00, 0xd4};

// Where the kernel's struct ucontext begins, counted from the stack pointer, and the registers in
// it (asm/sigcontext.h, asm/ucontext.h, arch/*/kernel/signal.c).
constexpr uint64_t kX86ContextRegisters = 40;
constexpr uint64_t kArmContextRegisters = 128 + 176 + 8;

// Places in ThreadState::registers of what sigcontext holds, in its order: r8 to r15, rdi, rsi,
// rbp, rbx, rdx, rax, rcx, rsp, rip.
constexpr std::array<uint8_t, 17> kX86ContextOrder = {9,  8, 7, 6,  3,  2,  1,  0, 14,
                                                      13, 4, 5, 12, 10, 11, 19, 16};
constexpr size_t kArmContextCount = 33;  // x0 to x30, sp, pc

// How far up the stack a return address is looked for, in words. Frames without tables and without
// frame pointers are small functions of assembly, mostly.
constexpr size_t kScannedWords = 128;

std::optional<uint64_t> ReadWord(ProcessMemory& memory, uint64_t address) {
  uint64_t word = 0;
  std::array<char, sizeof(word)> bytes;
  if (!memory.ReadAll(address, bytes)) return std::nullopt;
  std::memcpy(&word, bytes.data(), sizeof(word));
  return word;
}

template <size_t N>
bool Holds(ProcessMemory& memory, uint64_t address, const std::array<unsigned char, N>& code) {
  std::array<char, N> bytes;
  return memory.ReadAll(address, bytes) && std::memcmp(bytes.data(), code.data(), N) == 0;
}

// Whether the instruction before `address` may be a call: E8 and 4 bytes, or FF /2 in any of its
// lengths (Intel SDM volume 2, CALL).
bool FollowsCall(uint64_t address, ProcessMemory& memory) {
  constexpr size_t kLongestCall = 7;
  std::array<char, kLongestCall> bytes;
  if (address < kLongestCall || !memory.ReadAll(address - kLongestCall, bytes)) return false;
  const auto at = [&](size_t back) { return static_cast<uint8_t>(bytes[kLongestCall - back]); };
  if (at(5) == 0xe8) return true;
  for (const size_t length : {2, 3, 4, 6, 7}) {
    if (at(length) != 0xff) continue;
    const uint8_t mode = at(length - 1);
    if ((mode & 0x38) != 0x10) continue;  // not /2
    const bool is_register = mode >> 6 == 3;
    const bool has_index = !is_register && (mode & 7) == 4;
    const bool is_relative = mode >> 6 == 0 && (mode & 7) == 5;
    const size_t displacement = mode >> 6 == 1 ? 1 : (mode >> 6 == 2 || is_relative) ? 4 : 0;
    if (length == 2 + (has_index ? 1 : 0) + displacement) return true;
  }
  return false;
}

// Behind a call, or where the kernel lets a signal handler return to.
bool IsReturnAddress(uint64_t address, const ModuleMap& map, ProcessMemory& memory) {
  return map.IsExecutable(address) &&
         (FollowsCall(address, memory) || IsSignalReturn(Machine::kX86_64, address, memory));
}

// Whether the function that starts at `function` has %rbp pointing to its frame when it is at `pc`:
// push %rbp; mov %rsp, %rbp, maybe behind an endbr64.
bool HasFramePointer(std::optional<uint64_t> function, uint64_t pc, ProcessMemory& memory) {
  constexpr std::array<unsigned char, 4> kEndBranch = {0xf3, 0x0f, 0x1e, 0xfa};
  constexpr std::array<unsigned char, 4> kPrologue = {0x55, 0x48, 0x89, 0xe5};
  constexpr std::array<unsigned char, 4> kOtherPrologue = {0x55, 0x48, 0x8b, 0xec};
  if (!function) return false;
  uint64_t start = *function;
  if (Holds(memory, start, kEndBranch)) start += kEndBranch.size();
  return pc >= start + kPrologue.size() &&
         (Holds(memory, start, kPrologue) || Holds(memory, start, kOtherPrologue));
}

std::optional<UntabledStep> StepByFramePointer(const ThreadState& thread, const ModuleMap& map,
                                               ProcessMemory& memory) {
  const uint64_t frame = thread.registers[kX86Rbp];
  if (frame < thread.registers[kX86Rsp] || frame > UINT64_MAX - 16) return std::nullopt;
  const auto former = ReadWord(memory, frame);
  const auto caller = ReadWord(memory, frame + 8);
  if (!former || !caller || !map.IsExecutable(*caller)) return std::nullopt;
  UntabledStep step{thread, false};
  step.caller.registers[kX86Rbp] = *former;
  step.caller.registers[kX86Rip] = *caller;
  step.caller.registers[kX86Rsp] = frame + 16;
  return step;
}

// Where the call before `address` leads to, where the instruction itself says it.
std::optional<uint64_t> TargetOfCall(uint64_t address, ProcessMemory& memory) {
  constexpr size_t kLength = 5;
  std::array<char, kLength> bytes;
  int32_t distance = 0;
  if (address < kLength || !memory.ReadAll(address - kLength, bytes)) return std::nullopt;
  if (static_cast<uint8_t>(bytes[0]) != 0xe8) return std::nullopt;
  std::memcpy(&distance, bytes.data() + 1, sizeof(distance));
  return address + static_cast<uint64_t>(int64_t{distance});
}

// The first value on the stack, below `end`, that a call must have put there; where `function` is
// known, a call of that function.
std::optional<UntabledStep> StepByScan(const ThreadState& thread, uint64_t end,
                                       std::optional<uint64_t> function, const ModuleMap& map,
                                       ProcessMemory& memory) {
  const uint64_t stack = thread.registers[kX86Rsp];
  for (size_t i = 0; i < kScannedWords && stack + 8 * i < end; ++i) {
    const auto word = ReadWord(memory, stack + 8 * i);
    if (!word) return std::nullopt;
    if (!IsReturnAddress(*word, map, memory)) continue;
    if (function && TargetOfCall(*word, memory) != function) continue;
    UntabledStep step{thread, false};
    step.caller.registers[kX86Rip] = *word;
    step.caller.registers[kX86Rsp] = stack + 8 * (i + 1);
    return step;
  }
  return std::nullopt;
}

std::optional<UntabledStep> StepOverSignal(Machine machine, const ThreadState& thread,
                                           ProcessMemory& memory) {
  UntabledStep step{thread, true};
  const uint64_t stack = StackPointer(machine, thread);
  const bool is_arm = machine == Machine::kAarch64;
  const uint64_t context = stack + (is_arm ? kArmContextRegisters : kX86ContextRegisters);
  const size_t count = is_arm ? kArmContextCount : kX86ContextOrder.size();
  for (size_t i = 0; i < count; ++i) {
    const auto word = ReadWord(memory, context + 8 * i);
    if (!word) return std::nullopt;
    step.caller.registers[is_arm ? i : kX86ContextOrder[i]] = *word;
  }
  return step;
}

}  // namespace

bool IsSignalReturn(Machine machine, uint64_t pc, ProcessMemory& memory) {
  return machine == Machine::kAarch64 ? Holds(memory, pc, kArmSignalReturn)
                                      : Holds(memory, pc, kX86SignalReturn);
}

std::optional<UntabledStep> StepWithoutTables(Machine machine, const ThreadState& thread,
                                              std::optional<uint64_t> function,
                                              const ModuleMap& map, ProcessMemory& memory) {
  const uint64_t pc = ProgramCounter(machine, thread);
  if (IsSignalReturn(machine, pc, memory)) return StepOverSignal(machine, thread, memory);
  if (machine == Machine::kAarch64) return std::nullopt;
  const auto by_pointer = StepByFramePointer(thread, map, memory);
  if (function && !HasFramePointer(function, pc, memory)) {
    // If the frame pointer is its caller's, what the call left lies before that.
    const uint64_t end = by_pointer ? thread.registers[kX86Rbp] : UINT64_MAX - 8;
    if (auto step = StepByScan(thread, end, function, map, memory)) return step;
  }
  if (by_pointer) return by_pointer;
  // The outermost frame has none before it (psABI 3.4.1).
  if (!function && thread.registers[kX86Rbp] == 0) return std::nullopt;
  return StepByScan(thread, UINT64_MAX - 8, std::nullopt, map, memory);
}

}  // namespace telem
