#include "ctl/since.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace telem {
namespace {

constexpr uint64_t kNow = 1795445599;  // Mon 2026-11-23 14:53:19 UTC

class SinceTest : public testing::Test {
 protected:
  void SetUp() override { UseZone("UTC"); }
  void TearDown() override { UseZone("UTC"); }

  static void UseZone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
};

TEST_F(SinceTest, ReadsDatesAndTimesAsLocalTime) {
  EXPECT_EQ(ParseSince("2026-11-23 14:53:19", kNow), kNow);
  EXPECT_EQ(ParseSince("2026-11-23 14:53", kNow), kNow - 19);
  EXPECT_EQ(ParseSince("2026-11-23", kNow), kNow - 53'599);
  UseZone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(ParseSince("2026-11-23 15:53:19", kNow), kNow);
  EXPECT_EQ(ParseSince("2026-07-01 02:00", kNow), 1782864000u);  // summer time
}

TEST_F(SinceTest, TakesAnHourThatTheClockLeftOut) {
  UseZone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_TRUE(ParseSince("2026-03-29 02:30", kNow));
}

TEST_F(SinceTest, ReadsSecondsOfTheEpoch) { EXPECT_EQ(ParseSince("@1795445599", kNow), kNow); }

TEST_F(SinceTest, CountsBackFromNow) {
  EXPECT_EQ(ParseSince("-30s", kNow), kNow - 30);
  EXPECT_EQ(ParseSince("-5m", kNow), kNow - 300);
  EXPECT_EQ(ParseSince("2h ago", kNow), kNow - 7200);
  EXPECT_EQ(ParseSince("1d ago", kNow), kNow - 86400);
  EXPECT_EQ(ParseSince("-999999999d", kNow), 0u);
}

TEST_F(SinceTest, RefusesEverythingElse) {
  for (const char* text : {"",
                           "@",
                           "@x",
                           "@-1",
                           "-",
                           "-h",
                           "-2",
                           "-2w",
                           "--2h",
                           "-2 h",
                           "2h",
                           "ago",
                           " ago",
                           "2026",
                           "2026-11",
                           "2026-11-31",
                           "2026-02-29",
                           "2026-13-01",
                           "2026-00-01",
                           "2026-1-1",
                           "2026-11-23 ",
                           "2026-11-23 14",
                           "2026-11-23 24:00",
                           "2026-11-23 14:60",
                           "2026-11-23 14:53:",
                           "2026-11-23 14:53:60",
                           "2026-11-23 14:53:19Z",
                           "2026-11-23T14:53",
                           "yesterday",
                           "-99999999999999999999d",
                           "-18446744073709551615d"}) {
    EXPECT_FALSE(ParseSince(text, kNow)) << text;
  }
}

TEST_F(SinceTest, SaysWhatIsAllowed) {
  const auto since = ParseSince("yester\x1b[1mday", kNow);
  ASSERT_FALSE(since);
  EXPECT_EQ(since.error().message,
            "'yester?[1mday' is no time: allowed are 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM[:SS]', "
            "'@EPOCH', '-2h' or '2h ago' (s, m, h, d)");
}

}  // namespace
}  // namespace telem
