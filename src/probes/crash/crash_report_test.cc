#include "probes/crash/crash_report.h"

#include <gtest/gtest.h>

#include <csignal>

#include "probes/crash/crash_analysis.h"

namespace telem {
namespace {

TEST(CrashKindTest, SaysLittleOfThirdPartiesAndPackageBuilds) {
  EXPECT_EQ(KindOf("/usr/bin/ls", "", true), kCrash);
  EXPECT_EQ(KindOf("/usr/local/bin/x", "", true), kThirdParty);
  EXPECT_EQ(KindOf("/home/u/a.out", "", true), kThirdParty);
  EXPECT_EQ(KindOf("", "", true), kThirdParty);
  EXPECT_EQ(KindOf("/builddir/build/BUILD/x/a", "", true), kPackageBuild);
  EXPECT_EQ(KindOf("/usrx/bin/ls", "", true), kThirdParty);
}

TEST(CrashKindTest, SaysEverythingWithoutPrivacyFilters) {
  EXPECT_EQ(KindOf("/home/u/a.out", "", false), kCrash);
  EXPECT_EQ(KindOf("/builddir/build/BUILD/x/a", "", false), kCrash);
}

TEST(CrashKindTest, IsWidenedAndNarrowedByGlobs) {
  EXPECT_EQ(KindOf("/opt/app/bin/x", "/opt/*", true), kCrash);
  EXPECT_EQ(KindOf("/opt/app/bin/x", "/opt/*, !/opt/app/*", true), kThirdParty);
  EXPECT_EQ(KindOf("/opt/app/bin/x", "!/opt/app/*,/opt/*", true), kCrash);
  EXPECT_EQ(KindOf("/usr/bin/game", "!/usr/bin/g?me", true), kThirdParty);
}

TEST(CrashReportTest, BeginsWithTheLinesOf1x) {
  CrashFacts facts;
  facts.name = "example";
  facts.exe = "/usr/bin/example";
  facts.pid = 4242;
  facts.signal = SIGSEGV;
  facts.signal_info = SignalInfo{SIGSEGV, SEGV_MAPERR, 0};
  facts.address = "0x0";
  EXPECT_EQ(ReportHead(facts),
            "Process: /usr/bin/example\n"
            "PID: 4242\n"
            "Signal: 11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0\n");
}

TEST(CrashReportTest, KeepsForeignNamesOnTheirLine) {
  CrashFacts facts;
  facts.name = "a\nSignature: s1:0\xff";
  facts.signal = 6;
  EXPECT_EQ(ReportHead(facts), "Process: a?Signature: s1:0?\nPID: 0\nSignal: 6 (SIGABRT)\n");
}

TEST(CrashReportTest, NamesCodesBySignal) {
  EXPECT_EQ(DescribeSignal(SIGFPE, SignalInfo{SIGFPE, FPE_INTDIV, 0}, ""),
            "8 (SIGFPE) code 1 (FPE_INTDIV)");
  EXPECT_EQ(DescribeSignal(SIGABRT, SignalInfo{SIGABRT, SI_TKILL, 0}, ""),
            "6 (SIGABRT) code -6 (SI_TKILL)");
  EXPECT_EQ(DescribeSignal(33, std::nullopt, ""), "33");
}

TEST(ReportTextTest, TakesOnlyLinesOfText) {
  EXPECT_TRUE(IsReportText("Build-ID: ab\n\nBacktrace (TID 1):\n#0 f() - [x]\n"));
  EXPECT_FALSE(IsReportText("a\rb\n"));
  EXPECT_FALSE(IsReportText(std::string("a\0b", 3)));
  EXPECT_FALSE(IsReportText("\xff\n"));
  EXPECT_FALSE(IsReportText(std::string(5000, 'x')));
}

TEST(ReportTextTest, FindsSignaturesAndAddsThePackage) {
  const std::string text = "Build-ID: ab\n#0 exact: no\nSignature: s1:12   exact: e1:34\n";
  EXPECT_EQ(StableSignatureOf(text), "s1:12");
  EXPECT_EQ(ExactSignatureOf(text), "e1:34");
  CrashFacts facts;
  facts.package = "example 1.0-1";
  EXPECT_TRUE(WithPackage(text, facts).starts_with("Build-ID: ab\nPackage: example 1.0-1\n#0"));
  EXPECT_EQ(WithPackage("Package: own 2\n", facts), "Package: own 2\n");
}

TEST(DescribeAddressTest, GivesNoMemoryAway) {
  CoreNotes notes;
  ThreadState thread;
  thread.registers[19] = 0x7fff00010000;
  notes.threads.push_back(thread);
  const ModuleMap map(
      ParseMaps("400000-401000 r-xp 00000000 fe:00 1 /usr/bin/x\n"
                "500000-501000 r-xp 00000000 fe:00 1 /home/alice/lib.so\n"
                "900000-901000 rw-p 00000000 00:00 0 \n"
                "7fff00000000-7fff00020000 rw-p 00000000 00:00 0 [stack]\n"));
  EXPECT_EQ(DescribeAddress(0, notes, map), "0x0");
  EXPECT_EQ(DescribeAddress(0x18, notes, map), "0x18");
  EXPECT_EQ(DescribeAddress(0x400010, notes, map), "[/usr/bin/x] +0x10");
  EXPECT_EQ(DescribeAddress(0x500010, notes, map), "[lib.so] +0x10");
  EXPECT_EQ(DescribeAddress(0x900010, notes, map), "memory");
  EXPECT_EQ(DescribeAddress(0x7fff00011000, notes, map), "stack");
  EXPECT_EQ(DescribeAddress(0x7ffeffffff00, notes, map), "near the stack");
  EXPECT_EQ(DescribeAddress(0x7365637265742121, notes, map), "nothing");  // "secret!!"
}

}  // namespace
}  // namespace telem
