#include "probes/journal/failure_counts.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using Telling = FailureCounts::Telling;

class FailureCountsTest : public testing::Test {
 protected:
  Telling Fail(const std::string& unit, const std::string& failure = "") {
    return counts_.Judge(unit, failure, clock_.Now(), held_);
  }
  void FailInFull(const std::string& unit, size_t times) {
    for (size_t i = 0; i < times; ++i) ASSERT_EQ(Fail(unit), Telling::kInFull) << i;
  }

  FakeClock clock_;
  FailureCounts counts_;
  uint64_t held_ = 0;
};

TEST_F(FailureCountsTest, TellsTenAnHourAndCountsTheRest) {
  FailInFull("a.service", 10);
  EXPECT_EQ(Fail("a.service"), Telling::kCounted);
  clock_.Advance(hours(1) - seconds(1));
  EXPECT_EQ(Fail("a.service"), Telling::kCounted);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Fail("a.service"), Telling::kInFull);
  EXPECT_EQ(held_, 2u);
  EXPECT_EQ(Fail("a.service"), Telling::kInFull);
  EXPECT_EQ(held_, 0u);
}

TEST_F(FailureCountsTest, CountsEachUnitForItself) {
  FailInFull("a.service", 10);
  EXPECT_EQ(Fail("a.service"), Telling::kCounted);
  EXPECT_EQ(Fail("b.service"), Telling::kInFull);
}

TEST_F(FailureCountsTest, CountsThatNothingTellsWithAreDueAnHourAfterTheFirst) {
  EXPECT_FALSE(counts_.NextDue());
  FailInFull("a.service", 10);
  EXPECT_FALSE(counts_.NextDue());
  for (int i = 0; i < 3; ++i) Fail("a.service");
  const auto due = counts_.NextDue();
  ASSERT_TRUE(due);
  EXPECT_EQ(EpochSeconds(*due), EpochSeconds(clock_.Now() + hours(1)));
  clock_.Advance(hours(1) - seconds(1));
  EXPECT_FALSE(counts_.TakeDue(clock_.Now()));
  clock_.Advance(seconds(1));
  const auto held = counts_.TakeDue(clock_.Now());
  ASSERT_TRUE(held);
  EXPECT_EQ(held->unit, "a.service");
  EXPECT_EQ(held->count, 3u);
  EXPECT_FALSE(counts_.TakeDue(clock_.Now()));
  EXPECT_FALSE(counts_.NextDue());
}

TEST_F(FailureCountsTest, TellsOneFailureOnce) {
  EXPECT_EQ(Fail("a.service", "end:1"), Telling::kInFull);
  EXPECT_EQ(Fail("a.service", "end:1"), Telling::kToldBefore);
  EXPECT_EQ(Fail("a.service", "limit:1"), Telling::kInFull);
  EXPECT_EQ(Fail("a.service", "end:1"), Telling::kToldBefore);
  EXPECT_EQ(Fail("a.service", "limit:1"), Telling::kToldBefore);
  EXPECT_EQ(Fail("a.service", "end:2"), Telling::kInFull);
  EXPECT_EQ(Fail("b.service", "end:2"), Telling::kInFull);
}

TEST_F(FailureCountsTest, AClockThatWasSetBackHoldsNothingUpForLongerThanAnHour) {
  FailInFull("a.service", 10);
  Fail("a.service");
  clock_.SetWall(clock_.Now() - hours(1000));
  EXPECT_TRUE(counts_.TakeDue(clock_.Now()));
  EXPECT_EQ(Fail("a.service"), Telling::kInFull);
}

TEST_F(FailureCountsTest, ForgetsFirstWhatHoldsNothing) {
  FailInFull("busy.service", 10);
  Fail("busy.service");
  for (size_t i = 0; i < FailureCounts::kMaxUnits + 10; ++i) {
    EXPECT_EQ(Fail("unit-" + std::to_string(i) + ".service"), Telling::kInFull);
  }
  EXPECT_EQ(Fail("busy.service"), Telling::kCounted);
}

TEST_F(FailureCountsTest, StaysBoundedWhereEveryUnitHoldsSomething) {
  for (size_t i = 0; i < FailureCounts::kMaxUnits + 10; ++i) {
    for (int times = 0; times < 11; ++times) Fail("unit-" + std::to_string(i) + ".service");
  }
  clock_.Advance(hours(1));
  size_t due = 0;
  while (counts_.TakeDue(clock_.Now())) ++due;
  EXPECT_EQ(due, FailureCounts::kMaxUnits);
}

TEST_F(FailureCountsTest, OutlivesItsProcess) {
  FailInFull("a.service", 10);
  Fail("a.service", "end:7");
  Fail("odd name.service", "limit:8");
  counts_ = FailureCounts::Load(counts_.Save());
  EXPECT_EQ(Fail("a.service", "end:7"), Telling::kToldBefore);
  EXPECT_EQ(Fail("a.service"), Telling::kCounted);
  clock_.Advance(hours(1));
  EXPECT_EQ(Fail("a.service"), Telling::kInFull);
  EXPECT_EQ(held_, 2u);
}

TEST_F(FailureCountsTest, PassesOverLinesThatItCannotRead) {
  counts_ = FailureCounts::Load(
      "\n"
      "no numbers here\n"
      "a.service - - -1 5,\n"
      "b.service end:1 - 4 99999999999999999999,x,,\n"
      "c.service");
  EXPECT_EQ(Fail("b.service", "end:1"), Telling::kToldBefore);
  EXPECT_EQ(Fail("b.service"), Telling::kInFull);
  EXPECT_EQ(held_, 4u);
  EXPECT_EQ(Fail("a.service"), Telling::kInFull);
  EXPECT_EQ(held_, 0u);
}

}  // namespace
}  // namespace telem
