#include "deliver/record_input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace telem {
namespace {

class RecordInputTest : public testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    out_.Reset(fds[0]);
    in_.Reset(fds[1]);
  }
  void Write(std::string_view bytes) {
    ASSERT_EQ(::write(in_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }

  UniqueFd out_, in_;
};

std::string Record(std::string_view headers, std::string_view payload) {
  const auto head = EncodeDeliveryHead(MakeRecordId(WallTime()), headers.size(), payload.size());
  std::string bytes(head.data(), head.size());
  bytes += headers;
  bytes += payload;
  return bytes;
}

TEST_F(RecordInputTest, GivesALineAndThenTheRecordsHoweverTheyAreCut) {
  const std::string bytes = "{}\n" + Record("h", "first") + Record("h", "second");
  RecordInput input(out_.get());
  std::vector<std::string> seen;
  bool has_line = false;
  for (const char byte : bytes) {
    Write(std::string_view(&byte, 1));
    ASSERT_TRUE(input.Read());
    if (!has_line) {
      const auto line = input.TakeLine();
      ASSERT_TRUE(line);
      has_line = line->has_value();
      continue;
    }
    const auto record = input.TakeRecord();
    ASSERT_TRUE(record);
    if (*record) seen.emplace_back((*record)->payload);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"first", "second"}));
  in_.Reset();
  ASSERT_TRUE(input.Read());
  EXPECT_TRUE(input.at_end());
  EXPECT_TRUE(input.TakeRecord());
}

TEST_F(RecordInputTest, SaysWhenTheInputEndsWithinARecord) {
  Write(Record("h", "payload").substr(0, 45));
  in_.Reset();
  RecordInput input(out_.get());
  ASSERT_TRUE(input.Read());
  ASSERT_TRUE(input.Read());
  EXPECT_FALSE(input.TakeRecord());
}

TEST_F(RecordInputTest, TellsTextFromAStream) {
  RecordInput input(out_.get());
  Write("record_");
  ASSERT_TRUE(input.Read());
  EXPECT_FALSE(input.IsText().has_value());
  Write("format_version: 4\n");
  ASSERT_TRUE(input.Read());
  EXPECT_EQ(input.IsText(), true);

  RecordInput stream(out_.get());
  Write(Record("h", "p"));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.IsText(), false);
}

}  // namespace
}  // namespace telem
