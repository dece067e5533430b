#include "ctl/journal_text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "ctl/time_text.h"

namespace telem {
namespace {

class JournalTextTest : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }

  static JournalEntry EntryOf1x() {
    JournalEntry entry;
    entry.record_id = "a19a0d41ba16788881e274b19b8a1be4";
    entry.time = 1522691281;
    entry.classification = "org.clearlinux/hello/world";
    entry.event_id = "5de9de8d5f3c6a7d445d75ba01cc3322";
    entry.boot_id = "60c014cd-4693-40f1-b334-548cd932949b";
    return entry;
  }
  static JournalEntry Entry() {
    JournalEntry entry = EntryOf1x();
    entry.state = RecordState::kRejected;
    entry.detail = "400 no thanks";
    entry.severity = 3;
    entry.bytes = 400;
    entry.uid = 1000;
    entry.pid = 42;
    entry.comm = "hprobe";
    return entry;
  }
};

constexpr const char* kNarrow =
    "org.clearlinux/hello/world     Mon 2018-04-02 17:48:01 UTC a19a0d41ba16788881e274b19b8a1be4 "
    "5de9de8d5f3c6a7d445d75ba01cc3322 60c014cd-4693-40f1-b334-548cd932949b";

TEST_F(JournalTextTest, PrintsALineAs1xDid) {
  EXPECT_EQ(JournalText(EntryOf1x(), {}), std::string(kNarrow) + "\n");
  EXPECT_EQ(JournalText(Entry(), {}), std::string(kNarrow) + "\n");
}

TEST_F(JournalTextTest, AddsWhatIsKnownInTheWideForm) {
  EXPECT_EQ(JournalText(Entry(), {.wide = true}),
            std::string(kNarrow) + " rejected    3    400  1000 hprobe          400 no thanks\n");
  EXPECT_EQ(JournalText(EntryOf1x(), {.wide = true}), std::string(kNarrow) + " -\n");
  JournalEntry plain = Entry();
  plain.state = RecordState::kDelivered;
  plain.detail = "";
  plain.comm = "";
  EXPECT_EQ(JournalText(plain, {.wide = true}),
            std::string(kNarrow) + " delivered   3    400  1000 -\n");
}

TEST_F(JournalTextTest, HasItsHeadingsAboveItsColumns) {
  const std::string headings = JournalHeadings({.wide = true});
  const std::string line = JournalText(Entry(), {.wide = true});
  EXPECT_EQ(headings.find("Time stamp"), line.find("Mon "));
  EXPECT_EQ(headings.find("State"), line.find("rejected"));
  EXPECT_EQ(headings.find("Bytes") + 5, line.find(" 400 ") + 4);
  EXPECT_EQ(headings.find("Command"), line.find("hprobe"));
  EXPECT_EQ(headings.find("Detail"), line.find("400 no"));
}

TEST_F(JournalTextTest, ColorsNothingButTheState) {
  EXPECT_EQ(JournalText(Entry(), {.wide = true, .colors = true}),
            std::string(kNarrow) +
                " \x1b[31mrejected \x1b[0m   3    400  1000 hprobe          400 no thanks\n");
  EXPECT_EQ(JournalText(Entry(), {.wide = false, .colors = true}), std::string(kNarrow) + "\n");
}

TEST_F(JournalTextTest, KeepsForeignTextFromTheTerminal) {
  JournalEntry entry = Entry();
  entry.classification = "a/\x1b[31m/c";
  entry.event_id = "\x9b";
  entry.boot_id[0] = '\r';
  entry.comm = "\a";
  entry.detail = "\x1b]0;title\a";
  const std::string line = JournalText(entry, {.wide = true});
  for (const char c : line.substr(0, line.size() - 1)) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
}

TEST_F(JournalTextTest, PrintsTimesThatNoCalendarHolds) {
  EXPECT_EQ(LocalTimeText(UINT64_MAX), "@18446744073709551615");
}

TEST_F(JournalTextTest, PrintsJsonWithNullForWhat1xDidNotKnow) {
  EXPECT_EQ(JournalJson(Entry()),
            "{\"record_id\": \"a19a0d41ba16788881e274b19b8a1be4\", \"time\": 1522691281, "
            "\"classification\": \"org.clearlinux/hello/world\", \"event_id\": "
            "\"5de9de8d5f3c6a7d445d75ba01cc3322\", \"boot_id\": "
            "\"60c014cd-4693-40f1-b334-548cd932949b\", \"state\": \"rejected\", \"detail\": "
            "\"400 no thanks\", \"severity\": 3, \"bytes\": 400, \"uid\": 1000, \"pid\": 42, "
            "\"command\": \"hprobe\"}\n");
  EXPECT_TRUE(JournalJson(EntryOf1x())
                  .ends_with("\"state\": null, \"detail\": null, \"severity\": null, \"bytes\": "
                             "null, \"uid\": null, \"pid\": null, \"command\": null}\n"));
}

TEST_F(JournalTextTest, PutsThePayloadIntoJsonWithoutTheFilesNewline) {
  EXPECT_TRUE(
      JournalJson(Entry(), "line1\nline2\n\n").ends_with(", \"payload\": \"line1\\nline2\\n\"}\n"));
  EXPECT_TRUE(JournalJson(Entry(), std::nullopt).ends_with(", \"payload\": null}\n"));
}

}  // namespace
}  // namespace telem
