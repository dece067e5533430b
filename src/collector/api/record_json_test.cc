#include "collector/api/record_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "record/sample_headers.h"

namespace telem {
namespace {

using nlohmann::json;

StoredRecord Sample(std::string payload) {
  StoredRecord record;
  record.id = 7;
  record.received = WallTime(std::chrono::milliseconds(1'795'445'503'250));
  const HeaderViews headers = SampleHeaders();
  for (size_t i = 0; i < kHeaderCount; ++i) record.headers[i] = std::string(headers.values[i]);
  record.payload_size = payload.size();
  record.payload = std::move(payload);
  return record;
}

json FirstOf(const RecordPage& page, bool with_payload = true) {
  return json::parse(PageToJson(page, with_payload))["records"][0];
}

TEST(RecordJsonTest, ShowsIdTimeHeadersAndPayload) {
  const json record = FirstOf({.records = {Sample("hello\n")}, .next = {}});
  EXPECT_EQ(record["id"], 7);
  EXPECT_EQ(record["received"], 1'795'445'503.25);
  EXPECT_EQ(record["classification"], "org.example/test/one");
  EXPECT_EQ(record["creation_timestamp"], "1795445503");
  EXPECT_EQ(record["payload"], "hello\n");
  EXPECT_EQ(record["payload_encoding"], "utf-8");
  EXPECT_EQ(record["payload_size"], 6);
}

TEST(RecordJsonTest, ShowsAbsentHeadersAsNull) {
  StoredRecord record = Sample("x");
  record.headers[static_cast<size_t>(Header::kEventId)] = std::nullopt;
  EXPECT_TRUE(FirstOf({.records = {record}, .next = {}})["event_id"].is_null());
}

TEST(RecordJsonTest, LeavesPayloadsOutOfLists) {
  const json record = FirstOf({.records = {Sample("hello")}, .next = {}}, false);
  EXPECT_FALSE(record.contains("payload"));
  EXPECT_EQ(record["payload_size"], 5);
}

TEST(RecordJsonTest, TakesWhatIsNoUtf8AsLatin1) {
  const std::string payload("\xfc\0\x80z", 4);
  const json record = FirstOf({.records = {Sample(payload)}, .next = {}});
  EXPECT_EQ(record["payload_encoding"], "latin-1");
  EXPECT_EQ(record["payload_size"], 4);
  EXPECT_EQ(record["payload"], std::string("\xc3\xbc\0\xc2\x80z", 6));
}

TEST(RecordJsonTest, KeepsNulAndMarkupAsTheyAre) {
  const std::string payload("<b>\0\x01\xe2\x82\xac", 8);
  EXPECT_EQ(FirstOf({.records = {Sample(payload)}, .next = {}})["payload"], payload);
}

TEST(RecordJsonTest, SaysWhereThePageGoesOn) {
  EXPECT_EQ(json::parse(PageToJson({.records = {}, .next = 5}, true))["next"], 5);
  EXPECT_TRUE(json::parse(PageToJson({}, true))["next"].is_null());
}

TEST(RecordJsonTest, SaysWhichRecordIsTheNewest) {
  EXPECT_EQ(json::parse(PageToJson({.records = {}, .next = {}, .newest = 9}, true))["newest"], 9);
}

TEST(RecordJsonTest, AnswersAPostWithTheSameShapeAsTheList) {
  const StoredRecord stored = Sample("hello");
  IncomingRecord incoming;
  incoming.headers = SampleHeaders();
  incoming.payload = "hello";
  const Receipt receipt{.id = stored.id, .received = stored.received};
  EXPECT_EQ(json::parse(RecordToJson(incoming, receipt)),
            FirstOf({.records = {stored}, .next = {}}));
}

TEST(RecordJsonTest, NeverFailsOnForeignBytes) {
  EXPECT_TRUE(json::accept(MessageToJson("\xff\xfe\"\n")));
}

}  // namespace
}  // namespace telem
