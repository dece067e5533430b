#include "probes/kernel/kernel_report.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/report_payload.h"

namespace telem {
namespace {

RawReport RawOf(std::string_view log) {
  ReportFinder finder;
  while (!log.empty()) finder.Feed(TakeUntil(log, '\n'));
  finder.Finish();
  auto reports = finder.TakeFinished();
  EXPECT_EQ(reports.size(), 1U);
  return reports.empty() ? RawReport() : std::move(reports[0]);
}

KernelReport Read(std::string_view log) { return ReadKernelReport(RawOf(log)); }

constexpr std::string_view kOops =
    "[    2.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
    "[    2.000002] Oops: 0000 [#1] PREEMPT SMP NOPTI\n"
    "[    2.000003] CPU: 3 PID: 77 Comm: a b Tainted: G        W  OE      6.1.0-28-amd64 #1\n"
    "[    2.000004] Hardware name: Example Inc. Laptop 13/BRD-1, BIOS 1.23 03/04/2024\n"
    "[    2.000005] RIP: 0010:drain+0x2b/0x90 [mod]\n"
    "[    2.000006] RSP: 0018:ffffa8c0013ffd80 EFLAGS: 00010246\n"
    "[    2.000007] RAX: 0000000000000000 RBX: ffff9d0f4427a000 RCX: 0000000000000001\n"
    "[    2.000008] CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033\n"
    "[    2.000009] Call Trace:\n"
    "[    2.000010]  <TASK>\n"
    "[    2.000011]  mod_read+0x64/0x110 [mod]\n"
    "[    2.000012]  ? vfs_read+0xa2/0x310\n"
    "[    2.000013]  </TASK>\n"
    "[    2.000014] Modules linked in: mod(OE) rfkill\n"
    "[    2.000015] ---[ end trace 0000000000000000 ]---\n";

TEST(KernelReportTest, TakesAReportApart) {
  const KernelReport report = Read(kOops);
  EXPECT_EQ(report.kind, ReportKind::kBug);
  EXPECT_FALSE(report.panicked);
  EXPECT_EQ(report.reason, "BUG: kernel NULL pointer dereference, address: 0000000000000008");
  EXPECT_EQ(report.version, "6.1.0-28-amd64 #1");
  EXPECT_EQ(report.tainted, "Tainted: G W OE");
  EXPECT_EQ(report.process, "a b");
  EXPECT_EQ(report.pid, "77");
  EXPECT_EQ(report.cpu, "3");
  EXPECT_EQ(report.hardware, "Example Inc. Laptop 13/BRD-1, BIOS 1.23 03/04/2024");
  EXPECT_EQ(report.modules, "mod(OE) rfkill");
  EXPECT_EQ(report.guilty, "drain");
  ASSERT_EQ(report.stacks.size(), 1U);
  ASSERT_EQ(report.stacks[0].frames.size(), 3U);
  EXPECT_EQ(report.stacks[0].frames[0].function, "drain");
  EXPECT_EQ(report.stacks[0].frames[0].module, "mod");
  EXPECT_FALSE(report.stacks[0].frames[2].certain);
}

TEST(KernelReportTest, BlamesTheSchedulerForItsOwnLock) {
  const KernelReport report = Read(
      "WARNING: possible recursive locking detected\n"
      "6.1.0-28-amd64 #1 Not tainted\n"
      "--------------------------------------------\n"
      "worker/77 is trying to acquire lock:\n"
      "ffff9d0f4427a0a0 (&p->pi_lock){-.-.}-{2:2}, at: try_to_wake_up+0x41/0x6f0\n"
      "\n"
      "but task is already holding lock:\n"
      "ffff9d0f4427a0a0 (&p->pi_lock){-.-.}-{2:2}, at: try_to_wake_up+0x41/0x6f0\n"
      "\n"
      "stack backtrace:\n"
      "CPU: 3 PID: 77 Comm: worker Not tainted 6.1.0-28-amd64 #1\n"
      "Call Trace:\n"
      " dump_stack_lvl+0x49/0x63\n"
      " try_to_wake_up+0x41/0x6f0\n"
      " charge+0x37/0x1e0\n");
  EXPECT_EQ(report.guilty, "try_to_wake_up");
}

TEST(KernelReportTest, WritesThePayloadAsServersReadIt) {
  EXPECT_EQ(WritePayload(Read(kOops)),
            "Crash Report:\n"
            "Reason: BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
            "Kernel Version : 6.1.0-28-amd64 #1\n"
            "Tainted : Tainted: G W OE\n"
            "Modules : mod(OE) rfkill\n"
            "Process : a b PID 77 CPU 3\n"
            "Hardware : Example Inc. Laptop 13/BRD-1, BIOS 1.23 03/04/2024\n"
            "Guilty : drain\n"
            "Signature : s1:ac45e3cd1b47ce76\n"
            "Registers : RSP: Non-zero EFLAGS: 00010246 RAX: Zero RBX: Non-zero RCX: Non-zero "
            "CS: 0010 DS: 0000 ES: 0000 CR0: 0000000080050033\n"
            "Backtrace :\n"
            "#1 drain - [mod] +0x2b/0x90\n"
            "#2 mod_read - [mod] +0x64/0x110\n"
            "#3 ? vfs_read - [kernel]\n");
}

TEST(KernelReportTest, TheSignatureIsThatOfTheBugAndNotOfTheBuild) {
  std::string other(kOops);
  for (const auto& [from, to] : {std::pair{"+0x2b/0x90", "+0x4c/0xa0"},
                                 {"0000000000000008", "0000000000000010"},
                                 {"PID: 77", "PID: 99"},
                                 {"6.1.0-28", "6.1.0-30"}}) {
    other.replace(other.find(from), std::string_view(from).size(), to);
  }
  EXPECT_EQ(SignatureOf(Read(kOops)), SignatureOf(Read(other)));
  other.replace(other.find(":drain"), 6, ":drown");
  EXPECT_NE(SignatureOf(Read(kOops)), SignatureOf(Read(other)));
}

TEST(KernelReportTest, APanicMakesASmallMatterALargeOne) {
  const std::string warning =
      "[    1.000002] WARNING: CPU: 0 PID: 5 at a.c:1 first+0x1/0x2\n"
      "[    1.000003] Call Trace:\n[    1.000004]  first+0x1/0x2\n";
  EXPECT_EQ(MakeKernelRecord(RawOf(warning), "").severity, 2U);
  const auto record = MakeKernelRecord(
      RawOf(warning + "[    1.000005] Kernel panic - not syncing: panic_on_warn set ...\n"), "");
  EXPECT_EQ(record.severity, 4U);
  EXPECT_EQ(record.classification, "kernel/warning");
  EXPECT_NE(record.payload.find("Panic : Kernel panic - not syncing: panic_on_warn set"),
            std::string::npos);
}

TEST(KernelReportTest, TheEventIdIsThatOfTheReportWhereverItWasFound) {
  std::string elsewhere(kOops);
  for (size_t at = 0; (at = elsewhere.find("[    2.", at)) != std::string::npos; at += 4) {
    elsewhere.insert(at, "<4>");
  }
  const auto id = MakeKernelRecord(RawOf(kOops), "boot").event_id;
  EXPECT_TRUE(IsLowerHex(id, 32));
  EXPECT_EQ(MakeKernelRecord(RawOf(elsewhere), "boot").event_id, id);
  EXPECT_NE(MakeKernelRecord(RawOf(kOops), "another boot").event_id, id);
}

TEST(KernelReportTest, NothingAtAllIsStillAReport) {
  const KernelReport report = ReadKernelReport(RawReport());
  EXPECT_EQ(report.reason, "");
  EXPECT_EQ(report.guilty, "");
  EXPECT_TRUE(WritePayload(report).starts_with("Crash Report:\n"));
}

TEST(KernelReportTest, FieldsOfAnyLengthAndByteStayBoundedAndPrintable) {
  std::string log = "BUG: unable to handle \xff\x01" + std::string(5000, 'r') + "\n";
  log += "CPU: 1 PID: 2 Comm: " + std::string(5000, 'c') + " Not tainted 6.1 #1\n";
  log += "Modules linked in: " + std::string(60000, 'm') + "\n";
  log += "Hardware name: " + std::string(5000, 'h') + "\n";
  log += "Call Trace:\n";
  for (int i = 0; i < 1000; ++i) log += " " + std::string(500, 'f') + "+0x1/0x2\n";
  const std::string payload = WritePayload(Read(log));
  EXPECT_LE(payload.size(), size_t{64} * 1024);
  EXPECT_NE(payload.find(" frames\n"), std::string::npos);
  for (const char c : payload) EXPECT_TRUE(IsPrintableAscii(c) || c == '\n');
}

}  // namespace
}  // namespace telem
