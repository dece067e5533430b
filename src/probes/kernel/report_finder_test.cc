#include "probes/kernel/report_finder.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"

namespace telem {
namespace {

std::vector<RawReport> Find(std::string_view log) {
  ReportFinder finder;
  while (!log.empty()) finder.Feed(TakeUntil(log, '\n'));
  finder.Finish();
  return finder.TakeFinished();
}

constexpr std::string_view kWarning =
    "[    1.000001] ------------[ cut here ]------------\n"
    "[    1.000002] WARNING: CPU: 0 PID: 5 at a.c:1 first+0x1/0x2\n"
    "[    1.000003] Call Trace:\n"
    "[    1.000004]  first+0x1/0x2\n"
    "[    1.000005]  second+0x1/0x2\n"
    "[    1.000006] ---[ end trace 0000000000000000 ]---\n";

TEST(ReportFinderTest, FindsNothingInAQuietLog) {
  EXPECT_TRUE(
      Find("[    0.000000] Linux version 6.1\n[    0.100000] usb 1-1: new device\n").empty());
  EXPECT_TRUE(Find("").empty());
}

TEST(ReportFinderTest, TakesALineFromTheFirstToTheLastOfAReport) {
  const auto reports =
      Find("[    0.900000] before\n" + std::string(kWarning) + "[    9.0] after\n");
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines.front(), "------------[ cut here ]------------");
  EXPECT_EQ(reports[0].lines.back(), "---[ end trace 0000000000000000 ]---");
  EXPECT_EQ(reports[0].time_us, 1000001U);
  EXPECT_EQ(reports[0].position, 2U);
}

// 1.x lost the report that starts while another one ends.
TEST(ReportFinderTest, FindsTheReportThatStartsWhereAnotherHasNoEnd) {
  const std::string first(kWarning.substr(0, kWarning.find("[    1.000006]")));
  const auto reports = Find(first + std::string(kWarning));
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].lines.size(), 5U);
  EXPECT_EQ(reports[1].lines.size(), 6U);
}

TEST(ReportFinderTest, PutsTheLinesOfEachPrinterTogether) {
  const auto reports = Find(
      "[    1.000001][   T10] BUG: kernel NULL pointer dereference, address: 0\n"
      "[    1.000002][   T11] WARNING: CPU: 1 PID: 11 at b.c:1 right+0x1/0x2\n"
      "[    1.000003][   T10] Call Trace:\n"
      "[    1.000004][   T11] Call Trace:\n"
      "[    1.000005][   T12] usb 1-1: new device\n"
      "[    1.000006][   T10]  left+0x1/0x2\n"
      "[    1.000007][   T11]  right+0x1/0x2\n");
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].lines.back(), " left+0x1/0x2");
  EXPECT_EQ(reports[1].lines.back(), " right+0x1/0x2");
  EXPECT_EQ(reports[0].lines.size(), 3U);
}

TEST(ReportFinderTest, ThePanicBelongsToTheReportThatLedToIt) {
  const auto reports = Find(std::string(kWarning) +
                            "[    1.100000] Kernel panic - not syncing: panic_on_warn set ...\n");
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_TRUE(reports[0].lines.back().starts_with("Kernel panic"));
}

TEST(ReportFinderTest, APauseEndsAReport) {
  const auto reports = Find(
      "[    1.000001] INFO: task a:1 blocked for more than 120 seconds.\n"
      "[    1.000002] Call Trace:\n"
      "[   20.000000]  foreign: nothing of that report\n");
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines.size(), 2U);
}

TEST(ReportFinderTest, TakesTheIndentationOfAWholeReportOff) {
  const auto reports = Find(
      "It says\n"
      "\t BUG: kernel NULL pointer dereference, address: 0\n"
      "\t Call Trace:\n"
      "\t  left+0x1/0x2\n"
      "\n"
      "  WARNING: CPU: 0 PID: 5 at a.c:1 right+0x1/0x2\n"
      "  Call Trace:\n"
      "   right+0x1/0x2\n");
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].lines,
            (std::vector<std::string>{"BUG: kernel NULL pointer dereference, address: 0",
                                      "Call Trace:", " left+0x1/0x2", ""}));
  EXPECT_EQ(reports[1].lines.back(), " right+0x1/0x2");
}

TEST(ReportFinderTest, IndentedWordsAreNoReportUnlessAFunctionFollowsSoon) {
  const std::string title = "  BUG: kernel NULL pointer dereference, address: 0\n";
  EXPECT_TRUE(Find(title).empty());
  EXPECT_TRUE(Find(title + "  Call Trace:\n  CPU: 1\n").empty());
  EXPECT_EQ(Find(title + "  pc : left+0x1/0x2\n").size(), 1U);
  EXPECT_EQ(Find(title + "   left (a.c:1)\n").size(), 1U);
  EXPECT_TRUE(Find("  \"x(1): Oops [#1]\"\n  left+0x1/0x2\n").empty());
  EXPECT_EQ(Find("  x(1): Oops [#1]\n  left+0x1/0x2\n").size(), 1U);
  std::string late = title;
  for (size_t i = 0; i < ReportFinder::kMaxLinesToFrame; ++i) late += "   x\n";
  EXPECT_TRUE(Find(late + "   left+0x1/0x2\n").empty());
}

TEST(ReportFinderTest, TheKernelsOwnIndentationIsNoReports) {
  ReportFinder finder;
  finder.Feed(LogLine{.time_us = 1, .caller = "", .text = "  BUG: x"}, 1);
  finder.Feed(LogLine{.time_us = 2, .caller = "", .text = " left+0x1/0x2"}, 2);
  finder.Finish();
  EXPECT_TRUE(finder.TakeFinished().empty());
}

TEST(ReportFinderTest, TwoProcessorsWithTheSameFaultAtOnceGiveOneReport) {
  const auto reports = Find(
      "[    1.000001] Unable to handle kernel paging request at virtual address 1\n"
      "[    1.000002] Unable to handle kernel paging request at virtual address 2\n"
      "[    1.000003] Call trace:\n"
      "[    1.000004]  left+0x1/0x2\n"
      "[    1.000005] Unable to handle kernel paging request at virtual address 3\n");
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].lines.size(), 4U);
}

TEST(ReportFinderTest, WordsAloneAreNoReport) {
  EXPECT_TRUE(Find("WARNING: Spectre v2 mitigation leaves CPU vulnerable\nnext\n").empty());
  EXPECT_TRUE(Find("------------[ cut here ]------------\nnext\n").empty());
}

TEST(ReportFinderTest, AReportThatNeverEndsIsBoundedInLines) {
  std::string log = "BUG: kernel NULL pointer dereference, address: 0\nCall Trace:\n";
  for (size_t i = 0; i < 3 * ReportFinder::kMaxLines; ++i) log += " left+0x1/0x2\n";
  const auto reports = Find(log);
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines.size(), ReportFinder::kMaxLines);
  EXPECT_EQ(reports[0].lines_left_out, 2 * ReportFinder::kMaxLines + 2);
}

TEST(ReportFinderTest, AReportOfLongLinesIsBoundedInBytes) {
  std::string log = "BUG: kernel NULL pointer dereference, address: 0\n";
  for (int i = 0; i < 200; ++i) log += ' ' + std::string(4000, 'x') + '\n';
  const auto reports = Find(log);
  ASSERT_EQ(reports.size(), 1U);
  size_t bytes = 0;
  for (const std::string& line : reports[0].lines) bytes += line.size();
  EXPECT_LE(bytes, ReportFinder::kMaxBytes);
  EXPECT_GT(reports[0].lines_left_out, 0U);
}

TEST(ReportFinderTest, ManyPrintersAtOnceAreBoundedAndNoneIsLost) {
  std::string log;
  constexpr size_t kPrinters = 4 * ReportFinder::kMaxPrinters;
  for (size_t i = 0; i < kPrinters; ++i) {
    const std::string number = std::to_string(1000 + i);
    log += "[    1.";
    log += number;
    log += "][ T";
    log += number;
    log += "] BUG: unable to handle page fault\n";
  }
  EXPECT_EQ(Find(log).size(), kPrinters);
}

TEST(ReportFinderTest, GivesReportsInTheOrderOfTheirFirstLines) {
  const auto reports = Find(
      "[    1.000001][    T1] BUG: unable to handle page fault for address: 1\n"
      "[    1.000002][    T2] WARNING: CPU: 0 PID: 2 at a.c:1 x+0x1/0x2\n"
      "[    1.000003][    T2] ---[ end trace 0000000000000000 ]---\n"
      "[    1.000004][    T1] ---[ end trace 0000000000000000 ]---\n");
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_LT(reports[0].position, reports[1].position);
}

}  // namespace
}  // namespace telem
