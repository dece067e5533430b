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
    ASSERT_TRUE(sum.HasRoom(1, kStart + seconds(i)));
    sum.Count(1, kStart + seconds(i));
  }
  EXPECT_FALSE(sum.HasRoom(1, kStart + seconds(3)));
  EXPECT_FALSE(sum.HasRoom(1, kStart + minutes(15)));
  EXPECT_EQ(sum.NextRoom(kStart), kStart + minutes(15) + seconds(1));
  EXPECT_TRUE(sum.HasRoom(1, kStart + minutes(15) + seconds(1)));
  EXPECT_FALSE(sum.HasRoom(2, kStart + minutes(15) + seconds(1)));
}

TEST(SlidingSumTest, IsOffAtMinusOneAndForAWindowOfNothing) {
  for (SlidingSum sum : {SlidingSum(-1, minutes(15)), SlidingSum(0, minutes(0))}) {
    for (int i = 0; i < 100; ++i) sum.Count(1000, kStart);
    EXPECT_TRUE(sum.HasRoom(1'000'000, kStart));
  }
}

TEST(SlidingSumTest, LimitOfNothingLetsNothingOut) {
  SlidingSum sum(0, minutes(1));
  EXPECT_FALSE(sum.HasRoom(1, kStart));
}

// A record above the byte limit would otherwise hold up everything behind it for ever.
TEST(SlidingSumTest, LetsOneThatIsLargerThanTheLimitGoAlone) {
  SlidingSum sum(100, minutes(1));
  EXPECT_TRUE(sum.HasRoom(500, kStart));
  sum.Count(500, kStart);
  EXPECT_FALSE(sum.HasRoom(1, kStart));
  EXPECT_TRUE(sum.HasRoom(1, kStart + minutes(1) + seconds(1)));
}

TEST(RateLimiterTest, WhicheverLimitIsReachedFirstActs) {
  RateLimiter limiter(SlidingSum(10, minutes(1)), SlidingSum(1000, minutes(2)));
  for (int i = 0; i < 2; ++i) limiter.Count(450, kStart);
  EXPECT_TRUE(limiter.HasRoom(1, 100, kStart));
  EXPECT_FALSE(limiter.HasRoom(1, 101, kStart));
  EXPECT_FALSE(limiter.HasRoom(9, 100, kStart));
  EXPECT_EQ(limiter.NextRoom(kStart), kStart + minutes(2) + seconds(1));
}

}  // namespace
}  // namespace telem
