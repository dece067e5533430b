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

TEST(RateLimiterTest, WhicheverLimitIsReachedFirstActs) {
  RateLimiter limiter(SlidingSum(10, minutes(1)), SlidingSum(1000, minutes(2)));
  for (int i = 0; i < 2; ++i) limiter.Count(450, kStart);
  EXPECT_TRUE(limiter.HasRoom({}, 100, kStart));
  EXPECT_FALSE(limiter.HasRoom({}, 101, kStart));
  EXPECT_FALSE(limiter.HasRoom({.records = 8, .bytes = 0}, 100, kStart));
  EXPECT_FALSE(limiter.HasRoom({.records = 1, .bytes = 1}, 100, kStart));
  EXPECT_EQ(limiter.NextRoom(kStart), kStart + minutes(2) + seconds(1));
}

}  // namespace
}  // namespace telem
