#include "probes/crash/crash_analysis.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "probes/crash/crash_report.h"
#include "unwind/no_files.h"

namespace telem {
namespace {

constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kStacks = 0x7000000;
constexpr size_t kStackSize = 8192;
constexpr size_t kRbp = 4;
constexpr size_t kRax = 10;
constexpr size_t kRbx = 5;
constexpr size_t kRip = 16;
constexpr size_t kRsp = 19;

// Stacks of code that a program has generated, each frame of which points to the next one.
class GeneratedCode final : public ProcessMemory {
 public:
  size_t Read(uint64_t address, std::span<char> out) override {
    if (address < kStacks || address - kStacks > memory_.size() ||
        out.size() > memory_.size() - (address - kStacks)) {
      return 0;
    }
    ++reads_;
    if (slow_ != 0 && address - slow_ < kStackSize) clock_.Advance(std::chrono::milliseconds(30));
    std::memcpy(out.data(), memory_.data() + (address - kStacks), out.size());
    return out.size();
  }

  // From here on each look at the stack of that thread takes a while.
  void SlowDown(const ThreadState& thread) { slow_ = thread.registers[kRsp]; }
  size_t reads() const { return reads_; }
  const FakeClock& clock() const { return clock_; }

  // A thread whose frames are at places that differ from those of each other thread.
  ThreadState AddThread(pid_t tid, size_t frames) {
    const uint64_t stack = kStacks + memory_.size();
    memory_.resize(memory_.size() + kStackSize);
    ThreadState thread;
    thread.tid = tid;
    thread.registers[kRip] = kCode + static_cast<uint64_t>(tid) * 16;
    thread.registers[kRsp] = stack;
    thread.registers[kRbp] = stack + 16;
    for (size_t i = 1; i < frames; ++i) {
      PutWord(stack + 16 * i, i + 1 == frames ? 0 : stack + 16 * (i + 1));
      PutWord(stack + 16 * i + 8, thread.registers[kRip] + i);
    }
    return thread;
  }

 private:
  void PutWord(uint64_t address, uint64_t word) {
    std::memcpy(memory_.data() + (address - kStacks), &word, sizeof(word));
  }

  std::string memory_;
  uint64_t slow_ = 0;
  size_t reads_ = 0;
  FakeClock clock_;
};

class CrashAnalysisTest : public ::testing::Test {
 protected:
  std::string Analyse(size_t bytes = AnalysisLimits().bytes) {
    const ModuleMap map(
        ParseMaps("00010000-00400000 r-xp 00000000 00:00 0 \n"
                  "07000000-08000000 rw-p 00000000 00:00 0 [stack]\n"));
    NoFiles files;
    AnalysisLimits limits;
    limits.bytes = bytes;
    texts_.clear();
    reads_.clear();
    AnalyseCrash(notes_, map, memory_, files, limits, memory_.clock(), [&](std::string_view text) {
      texts_.emplace_back(text);
      reads_.push_back(memory_.reads());
    });
    return texts_.back();
  }

  std::vector<std::string> texts_;  // as they came
  std::vector<size_t> reads_;       // of the memory before each
  CoreNotes notes_;
  GeneratedCode memory_;
};

size_t CountLines(std::string_view text, std::string_view start) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(start, at)) != std::string_view::npos; ++at) ++count;
  return count;
}

constexpr size_t kTail = size_t{48} * 1024;  // kept free behind the stacks

// The stack of the thread that crashed was larger than all the room, and so it was not there.
TEST_F(CrashAnalysisTest, CutsTheStackThatCrashedWhereTheRoomEnds) {
  notes_.threads = {memory_.AddThread(1, 100), memory_.AddThread(2, 3)};
  const std::string whole = Analyse();
  EXPECT_EQ(CountLines(whole, "\n#"), 103u) << whole;
  EXPECT_FALSE(whole.contains("left out"));
  const std::string text = Analyse(kTail + 1000);
  EXPECT_TRUE(text.starts_with("\nBacktrace (TID 1):\n#0 ??? - [generated code]\n#1 ")) << text;
  const size_t shown = CountLines(text, "\n#");
  EXPECT_GT(shown, 30u);
  EXPECT_LT(shown, 40u);
  EXPECT_TRUE(text.contains("\n(" + std::to_string(100 - shown) + " frames left out)\n")) << text;
  EXPECT_FALSE(text.contains("TID 2):\n#"));
  EXPECT_TRUE(text.contains("\n(1 threads left out)\n"));
  EXPECT_TRUE(text.contains("\nSignature: s1:"));
}

TEST_F(CrashAnalysisTest, LeavesOutFromTheBackAtEveryLimit) {
  notes_.threads = {memory_.AddThread(1, 5), memory_.AddThread(2, 10), memory_.AddThread(3, 2)};
  const std::string whole = Analyse();
  const std::string stacks = whole.substr(0, whole.find("\n\nModules:"));
  for (size_t room = 0; room < stacks.size() + 100; ++room) {
    const std::string text = Analyse(kTail + room);
    const size_t end = text.find("\n(");
    if (end == std::string::npos) {
      EXPECT_TRUE(text.starts_with(stacks + "\n\nModules:")) << text;
      continue;
    }
    EXPECT_TRUE(text.contains(" left out)\n\nModules:")) << text;
    // What is there is the beginning of all that there is.
    EXPECT_LE(end, room);
    EXPECT_TRUE(stacks.starts_with(text.substr(0, end + 1))) << text;
  }
}

// Each register was told as what it points to, and a small one by its value.
TEST_F(CrashAnalysisTest, TellsNoValueThatARegisterHolds) {
  for (const uint64_t secret : {uint64_t{0x4b}, uint64_t{0xca7}, uint64_t{0}, kStacks + 8}) {
    notes_.threads = {memory_.AddThread(1, 2)};
    notes_.threads[0].registers[kRax] = secret;
    notes_.threads[0].registers[kRbx] = kCode + 0x20;
    const std::string text = Analyse();
    const size_t at = text.find("\nRegisters (TID 1):\n");
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_EQ(text.substr(at, text.find("\n\n", at) - at),
              "\nRegisters (TID 1):\nrbx memory\nrip memory");
  }
}

// A thread whose stack held up or ended the analysis hid all of them, also the one that crashed.
TEST_F(CrashAnalysisTest, TellsTheCrashBeforeItLooksAtOtherThreads) {
  notes_.threads = {memory_.AddThread(1, 5), memory_.AddThread(2, 10), memory_.AddThread(3, 2)};
  const std::string whole = Analyse();
  ASSERT_EQ(texts_.size(), kTextsOfReport);
  EXPECT_EQ(CountLines(texts_[0], "\n#"), 5u);
  EXPECT_TRUE(texts_[0].contains("\nBacktrace (TID 1):\n#0 ")) << texts_[0];
  EXPECT_TRUE(texts_[0].contains("\n(2 threads left out)\n")) << texts_[0];
  EXPECT_TRUE(IsReportText(texts_[0]));
  EXPECT_EQ(ExactSignatureOf(texts_[0]), ExactSignatureOf(whole));
  EXPECT_EQ(CountLines(texts_[1], "\n#"), 17u);
  EXPECT_FALSE(texts_[1].contains("left out"));
  // Whoever has as many as that needs the process no longer.
  EXPECT_LT(reads_[0], reads_[kTextsOfMemory - 1]);
  EXPECT_EQ(reads_[kTextsOfMemory - 1], reads_.back());
}

TEST_F(CrashAnalysisTest, HidesNoThreadBehindAnEndlessOne) {
  notes_.threads = {memory_.AddThread(1, 40), memory_.AddThread(2, 40), memory_.AddThread(3, 40)};
  for (const ThreadState& slow : notes_.threads) {
    memory_.SlowDown(slow);
    const std::string text = Analyse();
    for (const ThreadState& thread : notes_.threads) {
      const std::string title = "\nBacktrace (TID " + std::to_string(thread.tid) + "):\n";
      ASSERT_TRUE(text.contains(title)) << text;
      const std::string stack = text.substr(text.find(title));
      const size_t frames = CountLines(stack.substr(0, stack.find("\n\n")), "\n#");
      if (thread.tid == slow.tid) {
        EXPECT_GT(frames, 5u);
        EXPECT_LT(frames, 40u);
      } else {
        EXPECT_EQ(frames, 40u) << thread.tid << " while slow is " << slow.tid;
      }
    }
    EXPECT_EQ(CountLines(text, "\n(1 or more frames left out)\n"), 1u);
    EXPECT_TRUE(IsReportText(text)) << text;
  }
}

// With a signature of a recursion, as that of a stack that went on behind all limits.
TEST_F(CrashAnalysisTest, TakesNoStackForEndlessThatTookLong) {
  notes_.threads = {memory_.AddThread(1, 40)};
  memory_.SlowDown(notes_.threads[0]);
  const std::string slow = Analyse();
  const size_t frames = CountLines(slow, "\n#");
  ASSERT_GT(frames, 20u);  // that often a function goes round
  ASSERT_LT(frames, 40u);
  GeneratedCode other;
  memory_ = other;
  notes_.threads = {memory_.AddThread(1, frames)};
  EXPECT_EQ(ExactSignatureOf(Analyse()), ExactSignatureOf(slow));
  EXPECT_EQ(StableSignatureOf(Analyse()), StableSignatureOf(slow));
}

}  // namespace
}  // namespace telem
