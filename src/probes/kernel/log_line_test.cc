#include "probes/kernel/log_line.h"

#include <gtest/gtest.h>

#include <string>

namespace telem {
namespace {

TEST(LogLineTest, TakesLevelTimeAndCallerOff) {
  const LogLine line = SplitLogLine("<4>[  123.456789][ T1234] text");
  EXPECT_EQ(line.text, "text");
  EXPECT_EQ(line.caller, "T1234");
  EXPECT_EQ(line.time_us, 123456789U);
}

TEST(LogLineTest, KnowsACallerThatIsAProcessor) {
  EXPECT_EQ(SplitLogLine("[    1.000000][    C3] x").caller, "C3");
}

TEST(LogLineTest, KeepsIndentation) {
  EXPECT_EQ(SplitLogLine("[    1.000000]  vfs_read+0x1/0x2").text, " vfs_read+0x1/0x2");
  EXPECT_EQ(SplitLogLine("  vfs_read+0x1/0x2").text, "  vfs_read+0x1/0x2");
}

TEST(LogLineTest, KeepsIndentationBehindATagWithoutTime) {
  EXPECT_EQ(SplitLogLine("kernel:  vfs_read+0x1/0x2").text, " vfs_read+0x1/0x2");
  EXPECT_EQ(SplitLogLine("kernel: sd 00: disk: x").text, "sd 00: disk: x");
  EXPECT_EQ(SplitLogLine("kernel BUG at mm/slub.c:305!").text, "kernel BUG at mm/slub.c:305!");
}

TEST(LogLineTest, TakesAllOfALineWithoutPrefix) {
  const LogLine line = SplitLogLine("Call Trace:");
  EXPECT_EQ(line.text, "Call Trace:");
  EXPECT_FALSE(line.time_us);
  EXPECT_EQ(line.caller, "");
}

TEST(LogLineTest, DropsCarriageReturnNewlineAndNul) {
  EXPECT_EQ(SplitLogLine("[    1.000000] x\r\n").text, "x");
  EXPECT_EQ(SplitLogLine(std::string_view("x\0\r", 3)).text, "x");
}

TEST(LogLineTest, KnowsTheFormsOfDmesgSyslogAndJournal) {
  constexpr std::string_view kForms[] = {
      "[Wed Nov 25 04:52:10 2026] x",
      "[\u56db 5\u6708  2 18:30:00 2024] x",  // dmesg -T in Chinese
      "kern  :warn  : [  123.456789] x",
      "kern  :err   : [Wed Nov  5 04:52:10 2026] x",
      "Nov 25 04:52:10 host kernel: x",
      "Nov 25 04:52:10 host kernel: [  123.456789] x",
      "2026-11-25T04:52:10.123456+01:00 host kernel: x",
      "2026-11-25T04:52:10,123456+01:00 x",
      "2026-11-25T04:52:10.123456  kern  :emerg : x",
      "** 12 printk messages dropped ** [  123.456789] x",
      "login: [  123.456789] x",
      "16:56:35 [  123.456789] x",
      " kernel:[  123.456789] x",
      "kernel: x",
      "[  +0.000003] x",
      "[Nov25 04:52] x",
      "[\u0430\u043f\u0440 5 04:52] x",
      "[  123.456789 <    0.000003>] x",
      "kern  :warn  : [  +5.444862] x",
      "kernel: [  123.456789] x",
      "\u0430\u043f\u0440 17 13:18:15 pc7 kernel: x",  // "Apr" in Russian
      "<12>x",
      "[  123.456789]<0> x",
      "[    1.234567] host kernel: x",
      "Nov 25 04:52:10 host vmunix: x",
      "[guest/uart0] [  123.456789] x",
      "[2026-11-25 04:52:10.123] [  123.456789] x",
      "[2026-11-25 04:52:10]  [  123.456789][  T301] x",
      "[2026-11-25T04:52:10.123Z] x",
      "[04:52:10] x",
      "00045 x",
      "00: x",
      "60842.120183] x",
      "  30.283313] x",
      "[] x",
      "[ ] x",
      "[    T58] x",
  };
  for (const std::string_view form : kForms) EXPECT_EQ(SplitLogLine(form).text, "x") << form;
}

TEST(LogLineTest, KnowsTheCallerBehindADateAndARelativeTime) {
  for (const std::string_view text :
       {"[  +0.000003] [  T1234] text", "[Wed Nov 25 04:52:10 2026] [  T1234] text"}) {
    const LogLine line = SplitLogLine(text);
    EXPECT_EQ(line.text, "text");
    EXPECT_EQ(line.caller, "T1234");
    EXPECT_FALSE(line.time_us);
  }
}

TEST(LogLineTest, KnowsRecordsAsTheKernelHandsThemOut) {
  const LogLine line = SplitLogLine("6,339,5140900,-,caller=T12; text");
  EXPECT_EQ(line.text, " text");
  EXPECT_EQ(line.caller, "T12");
  EXPECT_EQ(line.time_us, 5140900U);
  EXPECT_EQ(SplitLogLine("6,339,5140900,-;x").text, "x");
  EXPECT_EQ(SplitLogLine("Nov 25 04:52:10 host 0,1,7,-,caller=C0;x").text, "x");
  EXPECT_EQ(SplitLogLine("Nov 25 04:52:10 host 0,1,7,-,caller=C0;x").time_us, 7U);
}

TEST(LogLineTest, LeavesATextThatOnlyLooksLikeARecord) {
  for (const std::string_view text :
       {"6,339,5140900,- text", "6,339;x", "6,,5140900,-;x", "6,339,99999999999999999999,-;x", "6",
        "6,", "6,339,1", "6,339,1,", "12,339,5140900,-;BUG: said a process"}) {
    EXPECT_EQ(SplitLogLine(text).text, text);
    EXPECT_FALSE(SplitLogLine(text).time_us);
  }
  EXPECT_FALSE(SplitLogLine("Nov 25 04:52:10").time_us);
  EXPECT_FALSE(SplitLogLine("Nov 25 04:52:10 ").time_us);
  EXPECT_FALSE(SplitLogLine("Nov 25 04:52:10 h").time_us);
  EXPECT_FALSE(SplitLogLine("Nov 25 04:52:10 h ").time_us);
  EXPECT_FALSE(SplitLogLine("Nov 25 04:52:10 host daemon[1]: 6,339,5140900,-;x").time_us);
}

TEST(LogLineTest, KnowsTheCallerOfKernelsThatVendorsHaveChanged) {
  const LogLine line = SplitLogLine("[    1.000000] [pid:12,cpu3,kworker/3:1]x");
  EXPECT_EQ(line.text, "x");
  EXPECT_EQ(line.caller, "12");
  for (const std::string_view text : {"[pid:12] x", "[pid:,cpu3,a]x", "[pid:12,cpu3,a", "[pid:"}) {
    EXPECT_EQ(SplitLogLine("[    1.000000] " + std::string(text)).text, text);
  }
}

TEST(LogLineTest, KnowsTheCallersOfOtherVendors) {
  for (const std::string_view text :
       {"[    7.123456] c0 12 (swapper/0) x", "[    7.123456]  [0:   kworker/0:1:   12] x",
        "[    7.123456] I[0:      swapper/0:   12] x", "[    7.123456] (3)[12:drain]x",
        "[    7.123456]<1>-(3)[12:drain]x", "[    7.123456s][pid:12,cpu6,drain,5]x"}) {
    const LogLine line = SplitLogLine(text);
    EXPECT_EQ(line.text, "x") << text;
    EXPECT_EQ(line.caller, "12") << text;
    EXPECT_EQ(line.time_us, 7123456U) << text;
  }
  for (const std::string_view text :
       {"[0:swapper] x", "[0:swapper:] x", "[0: :1", "[0:1", "[0", "(3)[drain] x", "(3)[12] x",
        "(3)[12:drain", "(3) x", "(3", "(", "-", "-x", "(see [12:30])", "[0:]"}) {
    EXPECT_EQ(SplitLogLine("[    1.000000] " + std::string(text)).text, text);
    EXPECT_EQ(SplitLogLine("[    1.000000] " + std::string(text)).caller, "") << text;
  }
}

TEST(LogLineTest, TakesTheHostOffWhereSyslogWritesNoTag) {
  for (const std::string_view text :
       {"Call Trace:", "BUG: x", "RIP: 0010:x", "Oops: 0002 [#1]", "Pid: 1, comm: x",
        "eax: 0004a8c0", "g0: 000000000004a8c0", "Caller[00000000004342ac]: x+0x1/0x2",
        "X(5651): Oops [#1]"}) {
    const std::string line = "Nov 25 04:52:10 host " + std::string(text);
    EXPECT_EQ(SplitLogLine(line).text == text, !text.starts_with("X(")) << text;
  }
  for (const std::string_view text :
       {"Nov 25 04:52:10 host daemon: BUG: x", "Nov 25 04:52:10 host Daemon[12]: BUG: x",
        "Nov 25 04:52:10 host git: BUG: x", "Nov 25 04:52:10 host git: ", "Nov 25 04:52:10 BUG: x",
        "Nov 25 04:52:10 host", "Nov 25 04:52:10  x"}) {
    EXPECT_EQ(SplitLogLine(text).text, text);
  }
}

TEST(LogLineTest, LeavesATextThatOnlyLooksLikeAnOddPrefix) {
  for (const std::string_view text :
       {"[] ", "[ ]x", "[T1]x", "[T] x", "[drm] x", "[a] [b] x", "[2026-11-25 04:52] x",
        "[04:52:10]x", "00045", "00034x", "00: ", "000: x", "1.5] x", "60842.120183",
        "1.1189490] x", "[    1.234567", "[a", "[<0>] [    1.234567] x"}) {
    EXPECT_EQ(SplitLogLine(text).text, text);
    EXPECT_FALSE(SplitLogLine(text).time_us) << text;
  }
}

TEST(LogLineTest, LeavesBracketsThatAreNoTime) {
  for (const std::string_view text : {"[<ffffffff81c01b4c>] vfs_read+0x1/0x2",
                                      "[Hardware Error]: x",
                                      "[ 12] x",
                                      "[at 18:30:00] x",
                                      "[1.] x",
                                      "[",
                                      "[  1.0",
                                      "[  +",
                                      "[  +]",
                                      "[  +1.] x",
                                      "[+1.2 x] y",
                                      "[at 18:30] x",
                                      "[0 18:30",
                                      "[1.2 <",
                                      "[1.2 <0.1> x] y",
                                      "[]",
                                      "[ ]",
                                      "<x>",
                                      "<12345>x",
                                      "<",
                                      "<1"}) {
    EXPECT_EQ(SplitLogLine(text).text, text);
  }
}

TEST(LogLineTest, LeavesATextThatOnlyLooksLikeACaller) {
  EXPECT_EQ(SplitLogLine("[    1.000000] [drm] x").text, "[drm] x");
  EXPECT_EQ(SplitLogLine("[    1.000000] [T12 x").text, "[T12 x");
}

}  // namespace
}  // namespace telem
