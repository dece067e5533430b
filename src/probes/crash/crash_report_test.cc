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

constexpr char kReport[] =
    "Build-ID: 3b1c\n"
    "Package: bash 5.2.15-2+b7\n"
    "\nBacktrace (TID 1):\n"
    "#0 std::vector<int>::at(unsigned long) const - [/usr/lib/a b.so] - src/a.cc:12 +0x1f "
    "(inlined)\n"
    "#1 main.(*T).f() - [/opt/x] +0x20\n"
    "#2 ??? - [generated code]\n"
    "(4096 or more frames left out)\n"
    "\nBacktrace (TID 2, 3 and 7 more):\n"
    "#0 f() - [x]\n"
    "(1 frames left out)\n"
    "\n(8 threads left out)\n"
    "\n(the core ended early: threads may be missing)\n"
    "\nModules:\n"
    "/usr/lib/a b.so 5d1f 0x7f3a000 (deleted)\n"
    "[vdso] - 0x1000\n"
    "(3 modules left out)\n"
    "\nRegisters (TID 1):\n"
    "rbx memory\n"
    "rip [/opt/x] +0x20\n"
    "\nSignature: s1:0123456789abcdef   exact: e1:0123456789abcdef\n";

TEST(ReportTextTest, TakesOnlyLinesOfTheFormsOfAReport) {
  EXPECT_TRUE(IsReportText(kReport));
  EXPECT_TRUE(IsReportText(""));
  for (const char* line : {"text",
                           "Process: x",
                           "#x f() - [x]",
                           "#0 f()",
                           "#0  - [x]",
                           "#0 f() - [x] text",
                           "#0 f() - [x] - file",
                           "#1234567 f() - [x]",
                           "rip 0x41",
                           "rip secret",
                           "Build-ID: secret",
                           "Backtrace (TID secret):",
                           "Registers (TID 1) x:",
                           "(secret frames left out)",
                           "(1 secrets left out)",
                           "/usr/lib/x secret 0x1",
                           "/usr/lib/x - secret",
                           "Modules: secret",
                           "Signature: secret   exact: e1:0123456789abcdef",
                           "Signature: s1:0123456789abcdef",
                           "Signature: s1:0123456789abcdef   exact: e1:0123456789abcdef secret"}) {
    // At any place.
    const std::string report = kReport;
    for (size_t at = 0; at < report.size(); at = report.find('\n', at) + 1) {
      EXPECT_FALSE(IsReportText(report.substr(0, at) + line + "\n" + report.substr(at)))
          << line << " at " << at;
    }
  }
}

TEST(ReportTextTest, TakesEachLineInItsPlaceOnly) {
  EXPECT_FALSE(IsReportText("#0 f() - [x]\n"));
  EXPECT_FALSE(IsReportText("\nBuild-ID: ab\n"));
  EXPECT_FALSE(IsReportText("\nModules:\nrip memory\n"));
  EXPECT_FALSE(IsReportText("\nRegisters (TID 1):\n/usr/lib/x - 0x1\n"));
  EXPECT_FALSE(IsReportText("\nBacktrace (TID 1):\nModules:\n"));
}

TEST(ReportTextTest, TakesOnlyLinesOfText) {
  const std::string frame = "\nBacktrace (TID 1):\n#0 f";
  EXPECT_TRUE(IsReportText(frame + std::string(1034, 'x') + " - [x]\n"));
  EXPECT_FALSE(IsReportText(frame + std::string(2400, 'x') + " - [x]\n"));
  EXPECT_FALSE(IsReportText(frame + "\r - [x]\n"));
  EXPECT_FALSE(IsReportText(frame + std::string(1, '\0') + " - [x]\n"));
  EXPECT_FALSE(IsReportText(frame + "\xff - [x]\n"));
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
