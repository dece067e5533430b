#include "probes/crash/crash_counts.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

CrashKey Key(std::string exact) {
  return {std::move(exact), "s1:a", "/usr/bin/a b", "11", "/crash/clr"};
}

class CrashCountsTest : public ::testing::Test {
 protected:
  bool Admit(const std::string& exact) { return counts_.Admit(Key(exact), clock_.Now(), held_); }

  FakeClock clock_;
  CrashCounts counts_;
  uint64_t held_ = 0;
};

TEST_F(CrashCountsTest, TellsFiveAnHourAndCountsTheRest) {
  uint64_t full = 0;
  for (int i = 0; i < 100; ++i) full += Admit("e1:a") ? 1 : 0;
  EXPECT_EQ(full, 5u);
  clock_.Advance(hours(1) - seconds(1));
  EXPECT_FALSE(Admit("e1:a"));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 96u);
}

TEST_F(CrashCountsTest, KeepsOneProgramsLoopFromHidingAnother) {
  for (int i = 0; i < 100; ++i) Admit("e1:a");
  EXPECT_TRUE(Admit("e1:b"));
  EXPECT_EQ(held_, 0u);
}

TEST_F(CrashCountsTest, CountsWhatWasToldOftenEnoughByItsSignatureAlone) {
  EXPECT_FALSE(counts_.CountRepeated("e1:a", clock_.Now()));
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(counts_.CountRepeated("e1:a", clock_.Now()));
    EXPECT_TRUE(Admit("e1:a"));
  }
  EXPECT_TRUE(counts_.CountRepeated("e1:a", clock_.Now()));
  EXPECT_FALSE(counts_.CountRepeated("e1:b", clock_.Now()));
  clock_.Advance(hours(1));
  EXPECT_FALSE(counts_.CountRepeated("e1:a", clock_.Now()));
  EXPECT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 1u);
}

TEST_F(CrashCountsTest, TellsWhatIsHeldAtTheHoursEnd) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  EXPECT_TRUE(counts_.TakeDue(clock_.Now() + minutes(59)).empty());
  const auto due = counts_.TakeDue(clock_.Now() + hours(1));
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].count, 3u);
  EXPECT_EQ(due[0].key.process, "/usr/bin/a b");
  EXPECT_TRUE(counts_.TakeDue(clock_.Now() + hours(1)).empty());
}

TEST_F(CrashCountsTest, OutlivesItsProcess) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  const std::string saved = counts_.Save();
  counts_ = CrashCounts::Load(saved);
  EXPECT_EQ(counts_.Save(), saved);
  EXPECT_FALSE(Admit("e1:a"));
  clock_.Advance(hours(1));
  EXPECT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 4u);
}

TEST_F(CrashCountsTest, PassesOverDamage) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  const auto loaded = CrashCounts::Load("\nnonsense\ne1 x x x notanumber  p\n" + counts_.Save());
  EXPECT_EQ(loaded.Save(), counts_.Save());
}

TEST_F(CrashCountsTest, CountsARecordThatCouldNotBeSent) {
  ASSERT_TRUE(Admit("e1:a"));
  counts_.TakeBack(Key("e1:a"), 7);
  ASSERT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 8u);
}

// telemd was away while a program crashed five times: nobody had seen a stack of it, and for an
// hour nobody would.
TEST_F(CrashCountsTest, GivesTheTurnOfARecordThatCouldNotBeSentToTheNextOne) {
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(Admit("e1:a"));
    counts_.TakeBack(Key("e1:a"), held_);
  }
  ASSERT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 7u);
}

TEST_F(CrashCountsTest, HoldsCountsThatCouldNotBeSent) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  const WallTime later = clock_.Now() + hours(1);
  for (const HeldCrashes& due : counts_.TakeDue(later)) counts_.Hold(due.key, due.count);
  const auto due = counts_.TakeDue(later);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].count, 3u);
}

TEST_F(CrashCountsTest, AClockSetBackHoldsNothingUp) {
  for (int i = 0; i < 6; ++i) Admit("e1:a");
  clock_.SetWall(clock_.Now() - hours(1000));
  EXPECT_TRUE(Admit("e1:a"));
}

TEST_F(CrashCountsTest, LosesNoCrashWhenTheTableIsFull) {
  uint64_t held = 0;
  for (size_t i = 0; i < CrashCounts::kMaxEntries + 50; ++i) {
    for (int n = 0; n < 6; ++n) Admit("e1:" + std::to_string(i));
  }
  for (const HeldCrashes& due : counts_.TakeDue(clock_.Now() + hours(2))) held += due.count;
  EXPECT_EQ(held, CrashCounts::kMaxEntries + 50);
}

}  // namespace
}  // namespace telem
