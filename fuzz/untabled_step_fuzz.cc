// The code and the stack of a process, where no table tells how to get on: who crashed made both.
//
// The first byte says how: bit 0 as aarch64, bit 1 with a known start of the function. Then come,
// of two bytes each, the places of the program counter and of that start in the code, those of the
// stack and of the frame pointer in the stack, and the size of the code. The rest is the code, and
// behind it the stack.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "fuzz_target.h"
#include "unwind/untabled_step.h"

namespace telem {
namespace {

constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kCodeEnd = 0x20000;
// To where a place of two bytes leads also to its end and behind it.
constexpr uint64_t kStack = UINT64_MAX - 0x7fff;

class CodeAndStack final : public ProcessMemory {
 public:
  CodeAndStack(std::span<const uint8_t> code, std::span<const uint8_t> stack)
      : code_(code), stack_(stack) {}
  size_t Read(uint64_t address, std::span<char> out) override {
    const bool is_stack = address >= kStack;
    const std::span<const uint8_t> bytes = is_stack ? stack_ : code_;
    const uint64_t start = is_stack ? kStack : kCode;
    if (address < start || address - start >= bytes.size()) return 0;
    const size_t count = std::min<size_t>(out.size(), bytes.size() - (address - start));
    std::memcpy(out.data(), bytes.data() + (address - start), count);
    return count;
  }

 private:
  std::span<const uint8_t> code_;
  std::span<const uint8_t> stack_;
};

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  constexpr size_t kHead = 11;
  if (size < kHead) return 0;
  const auto place = [&](size_t at) { return uint64_t{data[at]} | uint64_t{data[at + 1]} << 8; };
  const Machine machine = (data[0] & 1) != 0 ? Machine::kAarch64 : Machine::kX86_64;
  std::optional<uint64_t> function;
  if ((data[0] & 2) != 0) function = kCode + place(3);
  const std::span<const uint8_t> rest(data + kHead, size - kHead);
  const size_t code_size = std::min<size_t>(place(9), rest.size());
  CodeAndStack memory(rest.first(code_size), rest.subspan(code_size));
  const ModuleMap map(
      {Mapping{.start = kCode, .end = kCodeEnd, .executable = true, .path = "/code"}});

  ThreadState thread;
  const bool is_arm = machine == Machine::kAarch64;
  thread.registers[is_arm ? 32 : 16] = kCode + place(1);
  thread.registers[is_arm ? 31 : 19] = kStack + place(5);
  thread.registers[is_arm ? 29 : 4] = kStack + place(7);

  // As the unwinder goes on; each step but that over a signal must lead up the stack, and so to an
  // end.
  int signals = 0;
  while (signals < 16) {
    const auto step = StepWithoutTables(machine, thread, function, map, memory);
    if (!step) break;
    const uint64_t pc = ProgramCounter(machine, step->caller);
    if (step->was_interrupted) {
      Require(IsSignalReturn(machine, ProgramCounter(machine, thread), memory),
              "what a signal interrupted is told by the kernel's frame alone");
      ++signals;
    } else {
      Require(!is_arm, "on aarch64 libdw follows frame pointers");
      Require(map.IsExecutable(pc), "a call leads back to code");
      Require(StackPointer(machine, step->caller) > StackPointer(machine, thread),
              "a call leads up the stack");
    }
    thread = step->caller;
  }
  return 0;
}
