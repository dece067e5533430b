#include "probes/kernel/kmsg_log.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

std::string Line(uint64_t sequence, std::string_view text, std::string_view head = "4",
                 std::string_view tail = "-") {
  return std::string(head) + "," + std::to_string(sequence) + "," +
         std::to_string(1'000'000 + sequence) + "," + std::string(tail) + ";" + std::string(text) +
         "\n";
}

std::string Report(uint64_t first) {
  return Line(first, "BUG: unable to handle page fault for address: 1") +
         Line(first + 1, "Call Trace:") + Line(first + 2, " left+0x1/0x2") +
         Line(first + 3, "---[ end trace 0000000000000000 ]---");
}

TEST(KmsgLogTest, ReadsARecord) {
  const auto record = ParseKmsgRecord("6,339,5140900,-,caller=T1,new=field;NET: a;b, c\\x0ad");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->priority, 6U);
  EXPECT_EQ(record->sequence, 339U);
  EXPECT_EQ(record->time_us, 5140900U);
  EXPECT_EQ(record->flag, '-');
  EXPECT_EQ(record->caller, "T1");
  EXPECT_EQ(record->text, "NET: a;b, c\\x0ad");
}

TEST(KmsgLogTest, TakesNothingElseForARecord) {
  for (const char* line :
       {"", ";", "6,339,5140900,-", "6,339,;x", "a,1,2,-;x", "6,-1,2,-;x", "99999999999,1,2,-;x",
        "6,18446744073709551615,2,-;x", "6,1,2;x", "6,1,2,;x", " SUBSYSTEM=net;"}) {
    EXPECT_FALSE(ParseKmsgRecord(line)) << line;
  }
}

TEST(KmsgLogTest, FindsAReportHoweverItsBytesAreCut) {
  const std::string bytes = Line(0, "usb 1-1: new") + " SUBSYSTEM=usb\n" + Report(1);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    KmsgLog log(0);
    for (size_t at = 0; at < bytes.size(); at += piece) log.Feed(bytes.substr(at, piece));
    log.Settle();
    const auto reports = log.TakeFinished();
    ASSERT_EQ(reports.size(), 1U) << piece;
    EXPECT_EQ(reports[0].position, 1U);
    EXPECT_EQ(reports[0].lines.size(), 4U);
    EXPECT_EQ(reports[0].time_us, 1'000'001U);
  }
}

// Anybody who may write /dev/kmsg could else make up reports.
TEST(KmsgLogTest, BelievesOnlyTheKernelsOwnFacility) {
  KmsgLog log(0);
  log.Feed(Line(0, "BUG: unable to handle page fault for address: 1", "11"));
  log.Feed(Line(1, "Kernel panic - not syncing: x", "8"));
  log.Settle();
  EXPECT_TRUE(log.TakeFinished().empty());
  EXPECT_EQ(log.SafePosition(), 2U);
}

TEST(KmsgLogTest, PassesOverWhatWasDealtWithBefore) {
  KmsgLog log(5);
  log.Feed(Report(1) + Report(5));
  log.Settle();
  const auto reports = log.TakeFinished();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].position, 5U);
  EXPECT_EQ(log.TakeLost(), 0U);
}

TEST(KmsgLogTest, TheSafePositionIsTheFirstLineOfWhatIsOpen) {
  KmsgLog log(0);
  log.Feed(Line(0, "usb 1-1: new"));
  EXPECT_EQ(log.SafePosition(), 1U);
  EXPECT_FALSE(log.HasOpen());
  log.Feed(Report(1));
  log.Feed(Line(5, "usb 1-1: new"));
  EXPECT_TRUE(log.HasOpen());  // a panic may follow
  EXPECT_EQ(log.SafePosition(), 1U);
  log.Settle();
  EXPECT_FALSE(log.HasOpen());
  EXPECT_EQ(log.SafePosition(), 6U);
}

TEST(KmsgLogTest, CountsWhatTheKernelDroppedAndTheReportSaysSo) {
  KmsgLog log(0);
  log.Feed(Line(3, "BUG: unable to handle page fault for address: 1"));
  EXPECT_EQ(log.TakeLost(), 3U);
  log.Feed(Line(10, "Call Trace:") + Line(11, " left+0x1/0x2"));
  EXPECT_EQ(log.TakeLost(), 6U);
  EXPECT_EQ(log.TakeLost(), 0U);
  log.Settle();
  const auto reports = log.TakeFinished();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines_left_out, 6U);
}

TEST(KmsgLogTest, PutsContinuedLinesTogetherAndManyLinesOfOneRecordApart) {
  KmsgLog log(0);
  log.Feed(Line(0, "BUG: unable to handle ", "4", "c") + Line(1, "page fault", "4", "+") +
           Line(2, "Call Trace:\\x0a left+0x1/0x2\\x5c"));
  log.Settle();
  const auto reports = log.TakeFinished();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines, (std::vector<std::string>{"BUG: unable to handle page fault",
                                                        "Call Trace:", " left+0x1/0x2\\"}));
}

TEST(KmsgLogTest, TheCallerKeepsPrintersApart) {
  KmsgLog log(0);
  log.Feed(Line(0, "BUG: unable to handle page fault", "4", "-,caller=T1") +
           Line(1, "WARNING: CPU: 0 PID: 2 at a.c:1 x+0x1/0x2", "4", "-,caller=T2") +
           Line(2, " left+0x1/0x2", "4", "-,caller=T1") +
           Line(3, " x+0x1/0x2", "4", "-,caller=T2"));
  log.Settle();
  EXPECT_EQ(log.TakeFinished().size(), 2U);
}

TEST(KmsgLogTest, LinesWithoutEndAndBytesOfAnyKindCostOnlyThemselves) {
  KmsgLog log(0);
  for (int i = 0; i < 1000; ++i) log.Feed(std::string(4096, 'x'));
  log.Feed("\n");
  std::string binary;
  for (int i = 0; i < 4096; ++i) binary += static_cast<char>(i * 7);
  log.Feed(binary + "\n" + Report(0));
  log.Settle();
  EXPECT_EQ(log.TakeFinished().size(), 1U);
}

TEST(KmsgLogTest, ContinuationWithoutEndIsBounded) {
  KmsgLog log(0);
  log.Feed(Line(0, "BUG: unable to handle ", "4", "c"));
  for (uint64_t i = 1; i < 10'000; ++i) log.Feed(Line(i, std::string(1000, 'x'), "4", "+"));
  log.Settle();
  const auto reports = log.TakeFinished();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_LE(reports[0].lines[0].size(), 2 * KmsgLog::kLongestRecord);
}

}  // namespace
}  // namespace telem
