#include "daemon/backoff.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BackoffTest, DoublesUpToTheLongestAndJittersDownToNothing) {
  EXPECT_EQ(BackoffDelay(1, seconds(900), UINT32_MAX), seconds(1));
  EXPECT_EQ(BackoffDelay(2, seconds(900), UINT32_MAX), seconds(2));
  EXPECT_EQ(BackoffDelay(10, seconds(900), UINT32_MAX), seconds(512));
  EXPECT_EQ(BackoffDelay(11, seconds(900), UINT32_MAX), seconds(900));
  EXPECT_EQ(BackoffDelay(1'000'000, seconds(900), UINT32_MAX), seconds(900));
  EXPECT_EQ(BackoffDelay(11, seconds(900), UINT32_MAX / 2), milliseconds(449'999));
  EXPECT_EQ(BackoffDelay(11, seconds(900), 0), milliseconds(0));
}

}  // namespace
}  // namespace telem
