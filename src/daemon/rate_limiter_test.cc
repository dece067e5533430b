#include "daemon/rate_limiter.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

TEST(SlidingSumTest, HoldsForEveryWindowAndOpensWithinASecond) {
  SlidingSum sum(3, minutes(15));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(sum.HasRoom(0, 1, kStart + seconds(i)));
    sum.Count(1, kStart + seconds(i));
  }
  EXPECT_FALSE(sum.HasRoom(0, 1, kStart + seconds(3)));
  EXPECT_FALSE(sum.HasRoom(0, 1, kStart + minutes(15)));
  EXPECT_EQ(sum.NextRoom(kStart), kStart + minutes(15) + seconds(1));
  EXPECT_TRUE(sum.HasRoom(0, 1, kStart + minutes(15) + seconds(1)));
  EXPECT_FALSE(sum.HasRoom(0, 2, kStart + minutes(15) + seconds(1)));
}

TEST(SlidingSumTest, IsOffAtMinusOneAndForAWindowOfNothing) {
  for (SlidingSum sum : {SlidingSum(-1, minutes(15)), SlidingSum(0, minutes(0))}) {
    for (int i = 0; i < 100; ++i) sum.Count(1000, kStart);
    EXPECT_TRUE(sum.HasRoom(0, 1'000'000, kStart));
  }
}

TEST(SlidingSumTest, LimitOfNothingLetsNothingOut) {
  SlidingSum sum(0, minutes(1));
  EXPECT_FALSE(sum.HasRoom(0, 1, kStart));
}

// A record above the byte limit would otherwise hold up everything behind it for ever.
TEST(SlidingSumTest, LetsOneThatIsLargerThanTheLimitGoAlone) {
  SlidingSum sum(100, minutes(1));
  EXPECT_TRUE(sum.HasRoom(0, 500, kStart));
  sum.Count(500, kStart);
  EXPECT_FALSE(sum.HasRoom(0, 1, kStart));
  EXPECT_TRUE(sum.HasRoom(0, 1, kStart + minutes(1) + seconds(1)));
}

// Nothing was counted yet, ten were under way, and all others went out behind them.
TEST(SlidingSumTest, WhatIsPromisedCountsBeforeAnythingIsCounted) {
  SlidingSum sum(10, minutes(1));
  EXPECT_TRUE(sum.HasRoom(9, 1, kStart));
  EXPECT_FALSE(sum.HasRoom(10, 1, kStart));
  EXPECT_FALSE(sum.HasRoom(1, 500, kStart));
}

// SIGHUP must not open the gate for another whole limit.
TEST(SlidingSumTest, ANewLimitKeepsWhatWasCounted) {
  SlidingSum sum(10, minutes(1));
  sum.Count(8, kStart);
  sum.SetLimit(9, minutes(1));
  EXPECT_TRUE(sum.HasRoom(0, 1, kStart));
  EXPECT_FALSE(sum.HasRoom(0, 2, kStart));
}

TEST(SlidingSumTest, OpensAtTheEndOfTheWindowAndNotASecondEarlier) {
  for (const int minutes_long : {1, 15, 59}) {
    const minutes window(minutes_long);
    for (const auto offset : {seconds(0), seconds(30)}) {
      SlidingSum sum(2, window);
      const MonotonicTime first = kStart + offset + std::chrono::milliseconds(999);
      sum.Count(1, first);
      sum.Count(1, first + seconds(1));
      EXPECT_FALSE(sum.HasRoom(0, 1, first + window - seconds(1)));
      EXPECT_FALSE(sum.HasRoom(0, 1, first + window));
      EXPECT_TRUE(sum.HasRoom(0, 1, first + window + seconds(1)));
      EXPECT_FALSE(sum.HasRoom(0, 2, first + window + seconds(1)));
      EXPECT_TRUE(sum.HasRoom(0, 2, first + window + seconds(2)));
    }
  }
}

TEST(SlidingSumTest, KeepsWhatItSavedForAsLongAsItWouldHaveBeenKept) {
  SlidingSum before(10, minutes(15));
  for (int i = 0; i < 10; ++i) before.Count(1, kStart + seconds(i));
  const std::string text = before.Save(kStart + seconds(10));
  EXPECT_EQ(text, "10:1 9:1 8:1 7:1 6:1 5:1 4:1 3:1 2:1 1:1");
  // Another process, whose monotonic clock says something else; a minute was nobody there.
  const MonotonicTime start = MonotonicTime(std::chrono::hours(100));
  SlidingSum after(10, minutes(15));
  after.Restore(text, seconds(60), start);
  EXPECT_FALSE(after.HasRoom(0, 1, start + minutes(15) - seconds(70)));
  EXPECT_TRUE(after.HasRoom(0, 1, start + minutes(15) - seconds(69)));
  EXPECT_FALSE(after.HasRoom(0, 2, start + minutes(15) - seconds(69)));
  EXPECT_TRUE(after.HasRoom(0, 10, start + minutes(15) - seconds(60)));
}

TEST(SlidingSumTest, ALongWindowIsSavedInFewWordsAndNeverHasRoomEarlier) {
  SlidingSum before(3540, minutes(59));
  for (int i = 0; i < 3540; ++i) before.Count(1, kStart + seconds(i));
  const MonotonicTime now = kStart + seconds(3539);
  const std::string text = before.Save(now);
  EXPECT_LT(text.size(), 128u * 8);
  SlidingSum after(3540, minutes(59));
  after.Restore(text, seconds(0), now);
  for (int i = 0; i <= 3600; ++i) {
    for (const uint64_t more : {1, 1000, 3540}) {
      if (!after.HasRoom(0, more, now + seconds(i))) continue;
      EXPECT_TRUE(before.HasRoom(0, more, now + seconds(i))) << i << " " << more;
    }
  }
  EXPECT_TRUE(after.HasRoom(0, 3540, now + seconds(3541)));
}

TEST(SlidingSumTest, PassesOverWhatItDidNotSave) {
  SlidingSum sum(10, minutes(15));
  sum.Restore("5:x -1:3 :: 99999999999999999999:1 1:2:3 7:1 9:1 1:18446744073709551615 x",
              seconds(0), kStart);
  EXPECT_TRUE(sum.HasRoom(0, 9, kStart));
  EXPECT_FALSE(sum.HasRoom(0, 10, kStart));
}

RateLimiter::Limits LimitsOf(int64_t records, int64_t bytes) {
  return {
      .records = records, .bytes = bytes, .record_window = minutes(1), .byte_window = minutes(2)};
}

TEST(RateLimiterTest, WhicheverLimitIsReachedFirstActs) {
  RateLimiter limiter(LimitsOf(10, 1000));
  for (int i = 0; i < 2; ++i) limiter.Count(0, 450, kStart);
  EXPECT_TRUE(limiter.HasRoom({}, 100, kStart));
  EXPECT_FALSE(limiter.HasRoom({}, 101, kStart));
  EXPECT_FALSE(limiter.HasRoom({.records = 8, .bytes = 0}, 100, kStart));
  EXPECT_FALSE(limiter.HasRoom({.records = 1, .bytes = 1}, 100, kStart));
}

// What filled the window of records once waited for that of bytes, which is longer and had room.
TEST(RateLimiterTest, OnlyTheWindowWithoutRoomIsWaitedFor) {
  RateLimiter limiter(LimitsOf(10, 1000));
  for (int i = 0; i < 2; ++i) limiter.Count(0, 450, kStart);
  EXPECT_EQ(limiter.NextRoom({}, 100, kStart), kStart);
  EXPECT_EQ(limiter.NextRoom({}, 101, kStart), kStart + minutes(2) + seconds(1));
  EXPECT_EQ(limiter.NextRoom({.records = 8}, 100, kStart), kStart + minutes(1) + seconds(1));
  EXPECT_EQ(limiter.NextRoom({.records = 8}, 101, kStart), kStart + minutes(2) + seconds(1));
}

constexpr uid_t kNobody = 65534;

TEST(RateLimiterTest, AnOrdinaryUidHasHalfAndRootHasAll) {
  RateLimiter limiter(LimitsOf(10, 1000));
  for (int i = 0; i < 4; ++i) limiter.Count(kNobody, 10, kStart);
  EXPECT_TRUE(limiter.HasRoomFor(kNobody, {}, 10, kStart));
  EXPECT_FALSE(limiter.HasRoomFor(kNobody, {.records = 1}, 10, kStart));
  EXPECT_TRUE(limiter.HasRoomFor(kNobody, {}, 460, kStart));
  EXPECT_FALSE(limiter.HasRoomFor(kNobody, {}, 461, kStart));
  EXPECT_TRUE(limiter.HasRoomFor(kNobody + 1000, {.records = 4}, 100, kStart));
  EXPECT_TRUE(limiter.HasRoomFor(0, {.records = 9}, 900, kStart));
  limiter.Count(kNobody, 10, kStart);
  EXPECT_FALSE(limiter.HasRoomFor(kNobody, {}, 10, kStart));
  EXPECT_TRUE(limiter.HasRoom({}, 10, kStart));
  EXPECT_EQ(limiter.NextRoomFor(kNobody, {}, 10, kStart), kStart + minutes(1) + seconds(1));
  EXPECT_TRUE(limiter.HasRoomFor(kNobody, {}, 10, kStart + minutes(1) + seconds(1)));
}

TEST(RateLimiterTest, HalfOfOneIsOne) {
  RateLimiter limiter(LimitsOf(1, -1));
  EXPECT_TRUE(limiter.HasRoomFor(kNobody, {}, 10, kStart));
  limiter.Count(kNobody, 10, kStart);
  EXPECT_FALSE(limiter.HasRoomFor(kNobody, {}, 10, kStart));
  EXPECT_FALSE(RateLimiter(LimitsOf(0, -1)).HasRoomFor(kNobody, {}, 10, kStart));
  EXPECT_TRUE(RateLimiter(LimitsOf(-1, -1)).HasRoomFor(kNobody, {.records = 99}, 10, kStart));
}

// Somebody with a range of uids of his own (subuid(5)) fills no memory with their windows.
TEST(RateLimiterTest, UidsBeyondSixtyFourShareOneHalf) {
  RateLimiter limiter(LimitsOf(1000, -1));
  for (uid_t uid = 100'000; uid < 200'000; ++uid) limiter.Count(uid, 1, kStart);
  EXPECT_FALSE(limiter.HasRoomFor(300'000, {}, 1, kStart));
  EXPECT_TRUE(limiter.HasRoomFor(100'000, {}, 1, kStart));
  EXPECT_LT(limiter.Save(kStart).size(), 4096u);
  // When the windows have passed, there is a place for everybody again.
  const MonotonicTime later = kStart + minutes(2) + seconds(1);
  EXPECT_TRUE(limiter.HasRoomFor(300'000, {}, 1, later));
  limiter.Count(300'000, 1, later);
  EXPECT_EQ(limiter.Save(later), "sent_records all 0:1\nsent_records 300000 0:1\n");
}

TEST(RateLimiterTest, ARestartOpensNoGate) {
  RateLimiter before(LimitsOf(10, 1000));
  for (int i = 0; i < 5; ++i) before.Count(kNobody, 90, kStart);
  before.Count(0, 450, kStart + seconds(1));
  const std::string text = before.Save(kStart + seconds(2));
  EXPECT_EQ(text,
            "sent_records all 2:5 1:1\nsent_bytes all 2:450 1:450\n"
            "sent_records 65534 2:5\nsent_bytes 65534 2:450\n");
  RateLimiter after(LimitsOf(10, 1000));
  after.Restore("other line\nsent_records\nsent_bytes x 1:1\n" + text, seconds(30), kStart);
  EXPECT_FALSE(after.HasRoomFor(kNobody, {}, 1, kStart));
  EXPECT_TRUE(after.HasRoom({}, 100, kStart));
  EXPECT_FALSE(after.HasRoom({}, 101, kStart));
  EXPECT_TRUE(after.HasRoomFor(kNobody, {}, 50, kStart + seconds(29)));
  // One that was off long enough starts anew.
  RateLimiter late(LimitsOf(10, 1000));
  late.Restore(text, minutes(3), kStart);
  EXPECT_TRUE(late.HasRoom({.records = 9}, 1000, kStart));
  EXPECT_EQ(late.Save(kStart), "");
}

}  // namespace
}  // namespace telem
