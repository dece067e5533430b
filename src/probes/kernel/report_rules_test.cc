#include "probes/kernel/report_rules.h"

#include <gtest/gtest.h>

#include <string>

namespace telem {
namespace {

TEST(ReportRulesTest, MatchesAStarAsAnyText) {
  EXPECT_TRUE(MatchesPattern("irq 17: nobody cared (try)", "irq *: nobody cared"));
  EXPECT_FALSE(MatchesPattern("irq 17 nobody cared", "irq *: nobody cared"));
  EXPECT_TRUE(MatchesPattern("a123b45c", "a*b*c"));
  EXPECT_FALSE(MatchesPattern("a123b45", "a*b*c"));
  EXPECT_TRUE(MatchesPattern("abc", "ab"));
  EXPECT_FALSE(MatchesPattern("ab", "abc"));
  EXPECT_TRUE(MatchesPattern("x", "*"));
}

TEST(ReportRulesTest, FindsABeginningBehindAPrefix) {
  for (const char* text : {
           "BUG: soft lockup - CPU#1 stuck",
           "watchdog: BUG: soft lockup - CPU#1 stuck",
           "NMI watchdog: BUG: soft lockup - CPU#1 stuck",
           "[ BUG: bad unlock balance detected! ]",
           "rcu: INFO: rcu_preempt self-detected stall on CPU",
           "{1}[Hardware Error]: event severity: corrected",
           "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:01:00.0",
           "igb 0000:06:00.0 eth0: NETDEV WATCHDOG: CPU: 2: transmit queue 0 timed out 51 ms",
           "Web Content invoked oom-killer: gfp_mask=0x0",
           "a: b: c invoked oom-killer: x",
       }) {
    EXPECT_NE(FindBeginning(text), nullptr) << text;
  }
}

TEST(ReportRulesTest, KnowsTheKindOfWhatKernelsOfAllAgesAndArchitecturesSay) {
  struct Case {
    std::string_view text;
    std::string_view kind;
  };
  constexpr Case kCases[] = {
      {"BUG: Unable to handle kernel data access on read at 0xc000c01fff7f4444", "bug"},
      {"Unrecoverable FP Unavailable Exception 800 at c00000000001a2b0", "bug"},
      {"Unrecoverable exception 4100 at c00000000001a2b0", "bug"},
      {"divide error: 0000 [1] SMP", "bug"},
      {"invalid opcode: 0000 [2] PREEMPT SMP", "bug"},
      {"invalid operand: 0000 [1] SMP", "bug"},
      {"stack segment: 0000 [1]", "bug"},
      {"Reserved instruction in kernel code[#1]:", "bug"},
      {"Break instruction in kernel code[#1]:", "bug"},
      {"do_cpu invoked from kernel context![#1]:", "bug"},
      {"Kernel ale access[#1]:", "bug"},
      {"pressd(811): Kernel bad sw trap 5 [#1]", "bug"},
      {"Kernel Fault: Code=15 (Data TLB miss fault) at addr 00000010", "bug"},
      {"special operation exception: 0013 ilc:2 [#1] SMP", "bug"},
      {"list_add double add: new=ffff8880, prev=ffff8880, next=ffff8881.", "bug"},
      {"Division by zero in kernel.", "bug"},
      {"Bad page state at free_hot_cold_page (in process 'press', page c1391840)", "bug"},
      {"mm/pgtable-generic.c:50: bad pmd ffff880012345678(8000000123456789)", "bug"},
      {"bad: scheduling while atomic!", "bug"},
      {"softirq: huh, entered softirq 3 NET_RX 0004a8c0 with preempt_count 00000100, exited",
       "bug"},
      {"timer: press_tick+0x0/0x80 preempt leak: 00000101 -> 00000100", "bug"},
      {"CPU 12 self-detected hard LOCKUP @ press_stamp+0x1c/0x80", "hang"},
      {"watchdog: CPU 0 detected hard LOCKUP on other CPUs 3", "hang"},
      {"Freezing of tasks failed after 20.01 seconds (1 tasks refusing to freeze):", "hang"},
      {"[ BUG: bad contention detected! ]", "lockdep"},
      {"[ BUG: circular locking deadlock detected! ]", "lockdep"},
      {"BUG: KASan: out of bounds access in press_stamp+0x1c/0x80 at addr ffff8800", "sanitizer"},
      {"BUG: warning at drivers/press/stamp.c:77/press_stamp()", "warning"},
      {"irq event 12: bogus return value 7f", "warning"},
      {"kobject_add_internal failed for press with -EEXIST, don't try to register", "warning"},
      {"kobject: 'press' (ffff8880): is not initialized, yet kobject_put() is being", "warning"},
      {"Severe Machine check interrupt [Not recovered]", "hardware"},
      {"MCE: The hardware reports a non fatal, correctable incident occurred on CPU 0.",
       "hardware"},
      {"Data bus error, epc == 80026949, ra == 800268fc", "hardware"},
  };
  for (const Case& c : kCases) {
    const Beginning* beginning = FindBeginning(c.text);
    ASSERT_NE(beginning, nullptr) << c.text;
    EXPECT_EQ(InfoOf(beginning->kind).name, c.kind) << c.text;
  }
}

TEST(ReportRulesTest, TakesOrdinaryLinesForNothing) {
  for (const char* text : {
           "",
           " ",
           ":",
           ": ",
           "[",
           "{",
           "{1}",
           "usb 1-1: new high-speed USB device number 5",
           "EXT4-fs (sda1): mounted filesystem",
           "EDAC MC: Ver: 3.0.0",
           "Kernel panic timeout set",
           "pcieport 0000:00:1c.0: AER: enabled with IRQ 122",
           "Oops, sorry",
           "traps: app[711] general protection fault ip:7f11 sp:7ffd error:0 in libc.so.6",
           "app[712]: segfault at 0 ip 000055d0a1b2c3d4 sp 00007ffd5e6f7a88 error 4",
           "random: crng init done",
           "insmod: page allocation failure: order:4, mode:0x40cc0",
           "mm/slub: bad luck",
           "Freezing user space processes completed (elapsed 0.001 seconds)",
           "CPU 3 is up",
           "debug: 0x10",
           "general protection of nothing",
       }) {
    EXPECT_EQ(FindBeginning(text), nullptr) << text;
  }
}

TEST(ReportRulesTest, GivesEachKindItsClassAndSeverity) {
  const Beginning* oom = FindBeginning("x invoked oom-killer: gfp_mask=0x0");
  ASSERT_NE(oom, nullptr);
  EXPECT_EQ(InfoOf(oom->kind).name, "oom");
  EXPECT_EQ(InfoOf(oom->kind).severity, 3U);
  EXPECT_EQ(InfoOf(ReportKind::kWarning).severity, 2U);
  EXPECT_EQ(InfoOf(ReportKind::kPanic).severity, 4U);
  EXPECT_EQ(InfoOf(ReportKind::kLeak).name, "leak");
}

TEST(ReportRulesTest, KnowsEndings) {
  EXPECT_TRUE(IsEnding("---[ end trace 0000000000000000 ]---"));
  EXPECT_TRUE(IsEnding("Out of memory: Killed process 1 (x)"));
  EXPECT_FALSE(IsEnding("Call Trace:"));
}

}  // namespace
}  // namespace telem
