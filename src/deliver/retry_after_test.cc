#include "deliver/retry_after.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::sys_seconds;

// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, 5.6.7.
constexpr sys_seconds kThen{std::chrono::seconds(784'111'777)};
constexpr sys_seconds kMinuteBefore = kThen - std::chrono::minutes(1);

TEST(RetryAfterTest, ReadsDatesInAllThreeForms) {
  for (const char* date : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994", " Sun, 06 Nov 1994 08:49:37 GMT\r\n"}) {
    EXPECT_EQ(ParseHttpDate(date), kThen) << date;
  }
  for (const char* date : {"", "soon", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 GMT x",
                           "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 CET"}) {
    EXPECT_FALSE(ParseHttpDate(date)) << date;
  }
}

TEST(RetryAfterTest, TakesSecondsUpToADay) {
  EXPECT_EQ(ParseRetryAfter("120", "", kThen), 120u);
  EXPECT_EQ(ParseRetryAfter(" 0 ", "", kThen), 0u);
  EXPECT_EQ(ParseRetryAfter("86401", "", kThen), kMaxRetryAfter);
  EXPECT_EQ(ParseRetryAfter("99999999999999999999999", "", kThen), kMaxRetryAfter);
}

TEST(RetryAfterTest, CountsADateFromTheServersClock) {
  constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";
  EXPECT_EQ(ParseRetryAfter(kDate, "", kMinuteBefore), 60u);
  EXPECT_EQ(ParseRetryAfter(kDate, "Sun, 06 Nov 1994 08:49:30 GMT", sys_seconds{}), 7u);
  EXPECT_EQ(ParseRetryAfter(kDate, "nonsense", kMinuteBefore), 60u);
  EXPECT_EQ(ParseRetryAfter(kDate, "", kThen + std::chrono::hours(1)), 0u);
  EXPECT_EQ(ParseRetryAfter(kDate, "", sys_seconds{}), kMaxRetryAfter);
}

TEST(RetryAfterTest, NonsenseAsksForNothing) {
  for (const char* value : {"", "-1", "1.5", "soon", "0x10", "1 2", "\x01"}) {
    EXPECT_EQ(ParseRetryAfter(value, "", kThen), 0u) << value;
  }
}

}  // namespace
}  // namespace telem
