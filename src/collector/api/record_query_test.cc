#include "collector/api/record_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace telem {
namespace {

using ::testing::HasSubstr;

const WallTime kNow{std::chrono::seconds(1'795'445'503)};

Result<RecordQuery> Read(std::vector<HttpField> parameters) {
  return ReadRecordQuery(parameters, kNow);
}

TEST(RecordQueryTest, TakesAllParameters) {
  const auto query = Read({{"classification", "a/b/c"},
                           {"severity", "3"},
                           {"build", "12"},
                           {"machine_id", "m"},
                           {"created_in_days", "2"},
                           {"from_id", "7"},
                           {"cursor", "99"},
                           {"limit", "1000"},
                           {"payload", "false"}});
  ASSERT_TRUE(query) << query.error().message;
  EXPECT_EQ(query->classification, "a/b/c");
  EXPECT_EQ(query->severity, 3);
  EXPECT_EQ(query->build, "12");
  EXPECT_EQ(query->machine_id, "m");
  EXPECT_EQ(query->created_since, 1'795'445'503u - 2 * 86'400);
  EXPECT_EQ(query->from_id, 7);
  EXPECT_EQ(query->before_id, 99);
  EXPECT_EQ(query->limit, 1000);
  EXPECT_FALSE(query->with_payload);
}

TEST(RecordQueryTest, AsksForTheNewestHundredByDefault) {
  const auto query = Read({});
  ASSERT_TRUE(query);
  EXPECT_EQ(query->limit, 100);
  EXPECT_TRUE(query->with_payload);
  EXPECT_FALSE(query->created_since);
}

TEST(RecordQueryTest, TakesTheStrictestOfSeveralTimes) {
  EXPECT_EQ(Read({{"ts_capture", "1795445500"}, {"created_in_sec", "10"}})->created_since,
            1'795'445'500u);
  EXPECT_EQ(Read({{"created_in_sec", "10"}, {"created_in_days", "1"}})->created_since,
            1'795'445'493u);
  EXPECT_EQ(Read({{"created_in_sec", "9000000000"}})->created_since, 0u);
}

TEST(RecordQueryTest, NamesTheParameterThatIsWrong) {
  const std::vector<HttpField> wrong = {{"severity", "0"},
                                        {"severity", "5"},
                                        {"severity", ""},
                                        {"severity", "1;"},
                                        {"limit", "0"},
                                        {"limit", "1001"},
                                        {"limit", "-1"},
                                        {"from_id", "x"},
                                        {"from_id", "9223372036854775807"},
                                        {"cursor", "1.5"},
                                        {"created_in_days", "0"},
                                        {"created_in_days", "36501"},
                                        {"created_in_sec", "abc"},
                                        {"ts_capture", "-5"},
                                        {"ts_capture", "99999999999999999999"},
                                        {"classification", ""},
                                        {"machine_id", "a\x01"},
                                        {"build", "\xff\xfe"},
                                        {"payload", "no"},
                                        {"clasification", "a/b/c"}};
  for (const HttpField& field : wrong) {
    const auto query = Read({field});
    ASSERT_FALSE(query) << field.name << "=" << field.value;
    EXPECT_EQ(query.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(query.error().message, HasSubstr(field.name));
  }
  EXPECT_FALSE(Read({{"machine_id", std::string(251, 'x')}}));
}

// The last one won, and the answer looked as though all of them held.
TEST(RecordQueryTest, RefusesAParameterThatStandsTwice) {
  const auto query = Read({{"severity", "4"}, {"limit", "5"}, {"severity", "3"}});
  ASSERT_FALSE(query);
  EXPECT_EQ(query.error().message, "severity: given twice");
}

TEST(RecordQueryTest, KeepsForeignBytesOutOfItsMessages) {
  EXPECT_EQ(Read({{"a\r\nb\xff", "1"}}).error().message, "a??b?: no parameter of /api/records");
}

}  // namespace
}  // namespace telem
