#include "probes/crash/crash_counts.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

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
  // Whether it is told in full; then it arrives.
  bool Admit(const std::string& exact) {
    if (!Begin(exact)) return false;
    counts_.Confirm(Key(exact), id_);
    return true;
  }
  bool Begin(const std::string& exact) {
    id_ = NewId();
    return counts_.Admit(Key(exact), clock_.Now(), id_, held_) == Admission::kInFull;
  }
  std::vector<HeldCrashes> TakeDue(WallTime now) {
    return counts_.TakeDue(now, [this] { return NewId(); });
  }
  std::string NewId() {
    const std::string number = std::to_string(++ids_);
    return std::string(32 - number.size(), '0') + number;
  }

  FakeClock clock_;
  CrashCounts counts_;
  uint64_t held_ = 0;
  std::string id_;
  int ids_ = 0;
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
  EXPECT_TRUE(TakeDue(clock_.Now() + minutes(59)).empty());
  const auto due = TakeDue(clock_.Now() + hours(1));
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].count, 3u);
  EXPECT_EQ(due[0].key.process, "/usr/bin/a b");
  EXPECT_TRUE(TakeDue(clock_.Now() + hours(1)).empty());
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
  for (int i = 0; i < 12; ++i) Admit("e1:a");
  clock_.Advance(hours(1));
  ASSERT_TRUE(Begin("e1:a"));
  EXPECT_EQ(held_, 7u);
  counts_.TakeBack(Key("e1:a"), id_, false);
  ASSERT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 8u);
}

// telemd was away while a program crashed five times: nobody had seen a stack of it, and for an
// hour nobody would.
TEST_F(CrashCountsTest, GivesTheTurnOfARecordThatCouldNotBeSentToTheNextOne) {
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(Begin("e1:a"));
    counts_.TakeBack(Key("e1:a"), id_, false);
  }
  ASSERT_TRUE(Admit("e1:a"));
  EXPECT_EQ(held_, 7u);
}

TEST_F(CrashCountsTest, HoldsCountsThatCouldNotBeSent) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  const WallTime later = clock_.Now() + hours(1);
  for (const HeldCrashes& due : TakeDue(later)) counts_.Hold(due.key, due.event_id);
  const auto due = TakeDue(later);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].count, 3u);
}

// Killed between the file and telemd: what was held then, and the crash itself, were in no record.
TEST_F(CrashCountsTest, GivesOutAgainWhatWasBegunAndNeverConfirmed) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  clock_.Advance(hours(1));
  ASSERT_TRUE(Begin("e1:a"));
  EXPECT_EQ(held_, 3u);
  counts_ = CrashCounts::Load(counts_.Save());
  EXPECT_TRUE(TakeDue(clock_.Now() + CrashCounts::kLongestTelling - seconds(1)).empty());
  for (int again = 1; again <= 2; ++again) {
    const auto due = TakeDue(clock_.Now() + again * CrashCounts::kLongestTelling);
    ASSERT_EQ(due.size(), 1u);
    EXPECT_EQ(due[0].count, 4u);
    EXPECT_EQ(due[0].event_id, id_);
    EXPECT_TRUE(due[0].was_begun);
  }
  counts_.Confirm(Key("e1:a"), id_);
  EXPECT_TRUE(TakeDue(clock_.Now() + hours(2)).empty());
}

TEST_F(CrashCountsTest, KeepsWhatIsDueUntilItIsConfirmed) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  clock_.Advance(hours(1));
  const auto due = TakeDue(clock_.Now());
  ASSERT_EQ(due.size(), 1u);
  EXPECT_FALSE(due[0].was_begun);
  const auto again = TakeDue(clock_.Now() + CrashCounts::kLongestTelling);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].event_id, due[0].event_id);
  EXPECT_EQ(again[0].count, 3u);
}

TEST_F(CrashCountsTest, KnowsTheCrashThatItSawLast) {
  const std::string id = NewId();
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), id, held_), Admission::kInFull);
  // Ended before it was sent, or before it was confirmed.
  counts_ = CrashCounts::Load(counts_.Save());
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), id, held_), Admission::kAgain);
  EXPECT_EQ(held_, 0u);
  counts_.Confirm(Key("e1:a"), id);
  counts_ = CrashCounts::Load(counts_.Save());
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), id, held_), Admission::kKnown);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Admit("e1:a"));
  const std::string counted = NewId();
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), counted, held_), Admission::kCounted);
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), counted, held_), Admission::kKnown);
}

// The child that looked into it was ended while it told, and its parent tells the fact.
TEST_F(CrashCountsTest, KnowsTheCrashUnderAnotherKey) {
  for (int i = 0; i < 8; ++i) Admit("e1:a");
  clock_.Advance(hours(1));
  ASSERT_TRUE(Begin("e1:a"));
  EXPECT_EQ(counts_.Admit(Key("p1:a"), clock_.Now(), id_, held_), Admission::kAgain);
  EXPECT_EQ(held_, 3u);
  counts_.Confirm(Key("p1:a"), id_);
  EXPECT_TRUE(TakeDue(clock_.Now() + hours(2)).empty());
}

TEST_F(CrashCountsTest, TellsAgainWhatComesAgain) {
  ASSERT_TRUE(Begin("e1:a"));
  counts_.TakeBack(Key("e1:a"), id_, true);
  EXPECT_EQ(counts_.Admit(Key("e1:a"), clock_.Now(), id_, held_), Admission::kInFull);
  EXPECT_EQ(held_, 0u);
}

// The file of many programs with long paths was too large to be read, and all counts were gone.
TEST_F(CrashCountsTest, IsReadAgainHoweverLongTheNamesAre) {
  std::string name = ::testing::TempDir() + "/crash_counts.XXXXXX";
  const std::string folder = ::mkdtemp(name.data());
  {
    auto file = LockedCrashCounts::Open(folder + "/counts");
    ASSERT_TRUE(file.has_value());
    for (size_t i = 0; i < CrashCounts::kMaxEntries; ++i) {
      CrashKey key = Key("p1:/crash/error:11:/" + std::string(4000, 'x') + std::to_string(i));
      key.process = std::string(4096, 'p');
      for (size_t n = 0; n < CrashCounts::kMaxTellings + 5; ++n) {
        file->counts.Admit(key, clock_.Now() + hours(n), NewId(), held_);
      }
    }
    ASSERT_TRUE(file->Save().has_value());
  }
  const auto file = LockedCrashCounts::Open(folder + "/counts");
  ASSERT_TRUE(file.has_value());
  counts_ = file->counts;
  std::filesystem::remove_all(folder);
  uint64_t crashes = 0;
  for (const HeldCrashes& due : TakeDue(clock_.Now() + hours(100))) crashes += due.count;
  EXPECT_EQ(crashes, CrashCounts::kMaxEntries * (CrashCounts::kMaxTellings + 5));
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
  for (const HeldCrashes& due : TakeDue(clock_.Now() + hours(2))) held += due.count;
  EXPECT_EQ(held, CrashCounts::kMaxEntries + 50);
}

}  // namespace
}  // namespace telem
