#include "store/journal_line.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

constexpr std::string_view kId = "0193585f9c00aabbccddeeff00112233";
constexpr std::string_view kBootId = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";
constexpr std::string_view kLine1x =
    "91c824f76f470c73fcc99abe1eb5cc31\x1e"
    "1795445599\x1eorg.clearlinux/hello/world\x1e"
    "2312381d09c3d3397abf4b1fd626d941\x1e"
    "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";

TEST(JournalLineTest, ReadsBackWhatItWrites) {
  const JournalLine line{.record_id = "0193585f9c00aabbccddeeff00112233",
                         .time = 1795445599,
                         .classification = "org.example/test/one",
                         .event_id = "0123456789abcdef0123456789abcdef",
                         .boot_id = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25",
                         .severity = 3,
                         .bytes = 400,
                         .state = RecordState::kRejected,
                         .detail = "400 no thanks",
                         .uid = 1000,
                         .pid = 42,
                         .comm = "bash"};
  std::string text;
  AppendJournalLine(text, line);
  ASSERT_TRUE(text.ends_with('\n'));
  text.pop_back();
  const auto read = ParseJournalLine(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->record_id, line.record_id);
  EXPECT_EQ(read->time, line.time);
  EXPECT_EQ(read->classification, line.classification);
  EXPECT_EQ(read->state, line.state);
  EXPECT_EQ(read->detail, line.detail);
  EXPECT_EQ(read->uid, line.uid);
  EXPECT_EQ(read->comm, line.comm);
}

TEST(JournalLineTest, ReadsLinesOf1x) {
  const auto read = ParseJournalLine(kLine1x);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->classification, "org.clearlinux/hello/world");
  EXPECT_EQ(read->boot_id, "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25");
  EXPECT_FALSE(read->state);
}

// The journal's separator in a value shifted the fields behind it.
TEST(JournalLineTest, WritesNoSeparatorAndNoNewlineOfForeignText) {
  std::string text;
  AppendJournalLine(text, {.record_id = kId,
                           .boot_id = kBootId,
                           .state = RecordState::kSpooled,
                           .detail = "x\x1ey\nz",
                           .comm = "\x1e\x1e"});
  text.pop_back();
  const auto read = ParseJournalLine(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->detail, "x?y?z");
  EXPECT_EQ(read->comm, "??");
}

TEST(JournalLineTest, IgnoresTornAndForeignLines) {
  std::string text;
  AppendJournalLine(
      text, {.record_id = kId, .boot_id = kBootId, .state = RecordState::kLocal, .comm = "x"});
  text.pop_back();
  ASSERT_TRUE(ParseJournalLine(text));
  const std::string_view torn = text;
  const size_t fields_of_1x = torn.find(kBootId) + kBootId.size();
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    if (size == fields_of_1x) continue;  // a whole line of 1.x, and true
    EXPECT_FALSE(ParseJournalLine(torn.substr(0, size))) << size;
  }
  EXPECT_FALSE(ParseJournalLine(text + "\x1e"));
  EXPECT_FALSE(
      ParseJournalLine("a\x1enumber\x1e"
                       "b\x1e"
                       "c\x1e"
                       "d"));
}

}  // namespace
}  // namespace telem
