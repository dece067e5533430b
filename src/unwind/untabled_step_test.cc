#include "unwind/untabled_step.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace telem {
namespace {

constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kStack = 0x70000;
constexpr size_t kRbp = 4;
constexpr size_t kRip = 16;
constexpr size_t kRsp = 19;

// A page of code and a page of stack.
class SmallMemory final : public ProcessMemory {
 public:
  size_t Read(uint64_t address, std::span<char> out) override {
    for (size_t i = 0; i < out.size(); ++i) {
      const auto found = bytes_.find(address + i);
      if (found == bytes_.end()) return i;
      out[i] = found->second;
    }
    return out.size();
  }

  SmallMemory() {
    for (uint64_t i = 0; i < 4096; ++i) bytes_[kCode + i] = bytes_[kStack + i] = 0;
  }
  void Put(uint64_t address, const std::vector<unsigned char>& bytes) {
    for (const unsigned char byte : bytes) bytes_[address++] = static_cast<char>(byte);
  }
  void PutWord(uint64_t address, uint64_t word) {
    for (int i = 0; i < 8; ++i) bytes_[address + i] = static_cast<char>(word >> 8 * i);
  }

 private:
  std::map<uint64_t, char> bytes_;
};

ModuleMap OnePageOfCode() {
  Mapping code;
  code.start = kCode;
  code.end = kCode + 4096;
  code.executable = true;
  return ModuleMap({code});
}

ThreadState At(uint64_t pc) {
  ThreadState thread;
  thread.registers[kRip] = pc;
  thread.registers[kRsp] = kStack;
  return thread;
}

TEST(UntabledStepTest, FollowsTheFramePointerOfCodeThatKeepsOne) {
  SmallMemory memory;
  memory.Put(kCode + 0x100, {0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5});
  memory.Put(kCode + 0x200, {0xe8, 0, 0, 0, 0});
  ThreadState thread = At(kCode + 0x120);
  thread.registers[kRbp] = kStack + 0x40;
  memory.PutWord(kStack + 0x40, kStack + 0x80);
  memory.PutWord(kStack + 0x48, kCode + 0x205);
  const auto step =
      StepWithoutTables(Machine::kX86_64, thread, kCode + 0x100, OnePageOfCode(), memory);
  ASSERT_TRUE(step.has_value());
  EXPECT_FALSE(step->was_interrupted);
  EXPECT_EQ(step->caller.registers[kRip], kCode + 0x205);
  EXPECT_EQ(step->caller.registers[kRbp], kStack + 0x80);
  EXPECT_EQ(step->caller.registers[kRsp], kStack + 0x50);
}

TEST(UntabledStepTest, LooksForAReturnAddressWhereThereIsNoFramePointer) {
  SmallMemory memory;
  memory.Put(kCode + 0x200, {0xff, 0x50, 0x18});  // call *0x18(%rax)
  const ThreadState thread = At(kCode + 0x120);
  memory.PutWord(kStack + 8, kCode + 0x300);  // code, but nothing was called before it
  memory.PutWord(kStack + 16, kCode + 0x203);
  const auto step =
      StepWithoutTables(Machine::kX86_64, thread, kCode + 0x100, OnePageOfCode(), memory);
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->caller.registers[kRip], kCode + 0x203);
  EXPECT_EQ(step->caller.registers[kRsp], kStack + 24);
}

TEST(UntabledStepTest, PrefersACallOfThisVeryFunctionToItsCallersFramePointer) {
  SmallMemory memory;
  memory.Put(kCode + 0x200, {0xe8, 0xfb, 0xfe, 0xff, 0xff});  // call 0x100
  memory.Put(kCode + 0x300, {0xe8, 0, 0, 0, 0});
  ThreadState thread = At(kCode + 0x120);
  thread.registers[kRbp] = kStack + 0x40;
  memory.PutWord(kStack + 8, kCode + 0x305);  // what an earlier call left there
  memory.PutWord(kStack + 16, kCode + 0x205);
  memory.PutWord(kStack + 0x48, kCode + 0x305);
  const auto step =
      StepWithoutTables(Machine::kX86_64, thread, kCode + 0x100, OnePageOfCode(), memory);
  ASSERT_TRUE(step.has_value());
  EXPECT_EQ(step->caller.registers[kRip], kCode + 0x205);
  EXPECT_EQ(step->caller.registers[kRbp], kStack + 0x40);
}

TEST(UntabledStepTest, GoesOnWhereASignalInterrupted) {
  SmallMemory memory;
  memory.Put(kCode + 0x100, {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05});
  for (uint64_t i = 0; i < 17; ++i) memory.PutWord(kStack + 40 + 8 * i, 0x1000 + i);
  const auto step =
      StepWithoutTables(Machine::kX86_64, At(kCode + 0x100), std::nullopt, OnePageOfCode(), memory);
  ASSERT_TRUE(step.has_value());
  EXPECT_TRUE(step->was_interrupted);
  EXPECT_EQ(step->caller.registers[kRbp], 0x1000u + 10);
  EXPECT_EQ(step->caller.registers[kRsp], 0x1000u + 15);
  EXPECT_EQ(step->caller.registers[kRip], 0x1000u + 16);
}

TEST(UntabledStepTest, EndsWhereNothingLeadsOn) {
  SmallMemory memory;
  ThreadState thread = At(kCode + 0x120);
  const ModuleMap map = OnePageOfCode();
  EXPECT_FALSE(StepWithoutTables(Machine::kX86_64, thread, std::nullopt, map, memory));
  EXPECT_FALSE(StepWithoutTables(Machine::kX86_64, thread, kCode + 0x100, map, memory));
  thread.registers[kRsp] = UINT64_MAX - 20;
  thread.registers[kRbp] = UINT64_MAX - 8;
  EXPECT_FALSE(StepWithoutTables(Machine::kX86_64, thread, std::nullopt, map, memory));
  EXPECT_FALSE(StepWithoutTables(Machine::kAarch64, thread, std::nullopt, map, memory));
}

}  // namespace
}  // namespace telem
