#include "probes/kernel/report_rules.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "probes/kernel/stack_frame.h"

namespace telem {
namespace {

using enum ReportKind;
using enum Role;
using enum Blame;

// ---- Kinds
// ---------------------------------------------------------------------------------------

constexpr KindInfo kKinds[] = {
    {"bug", 4},            // kBug
    {"warning", 2},        // kWarning
    {"stackoverflow", 4},  // kStackOverflow
    {"panic", 4},          // kPanic
    {"hang", 3},           // kHang
    {"oom", 3},            // kOom
    {"hardware", 3},       // kHardware
    {"lockdep", 2},        // kLockdep
    {"sanitizer", 4},      // kSanitizer
    {"leak", 4},           // kLeak
};

// ---- Beginnings
// ----------------------------------------------------------------------------------
//
// The first pattern that fits counts, so what is special stands above what is general. A module's
// own prefix ("watchdog: ", "rcu: ") may stand in front of any of them.

constexpr bool kNeedsBody = true;

constexpr Beginning kBeginnings[] = {
    // Lines that announce a report and say nothing yet.
    {"------------[ cut here ]------------", kWarning, kOpener, kFirst},
    {"8<--- cut here ---", kBug, kOpener, kFirst},
    {"----------- [cut here ]", kBug, kOpener, kFirst},  // x86_64 before 2.6.23
    {"Eeek! page_mapcount(page) went negative", kBug, kOpener, kFirst},
    {"kasan: GPF could be caused by", kBug, kOpener, kFirst},
    {"CONFIG_KASAN_INLINE enabled", kBug, kOpener, kFirst},
    {"GPF could be caused by NULL-ptr deref", kBug, kOpener, kFirst},
    {"kernel tried to execute ", kBug, kOpener, kFirst},
    {"Kernel attempted to ", kBug, kOpener, kFirst},
    {"rust_kernel: panicked at ", kBug, kOpener, kFirst},
    {"Missing ENDBR: ", kBug, kOpener, kFirst},

    // Memory that is not there, x86 and powerpc.
    {"BUG: unable to handle ", kBug, kTitle, kFirst},
    {"BUG: Unable to handle ", kBug, kTitle, kFirst},
    {"BUG: kernel NULL pointer dereference", kBug, kTitle, kFirst},
    {"BUG: Kernel NULL pointer dereference", kBug, kTitle, kFirst},
    // arm, arm64, riscv, s390, powerpc, mips.
    {"Unable to handle kernel ", kBug, kTitle, kFirst},
    {"CPU * Unable to handle kernel ", kBug, kTitle, kFirst},
    // Said of programs too: of those without "Internal error:" and registers behind it.
    {"Unhandled fault:*at 0x", kBug, kTitle, kFirst, kNeedsBody},
    {"Unhandled fault:*(0x", kBug, kTitle, kFirst, kNeedsBody},
    {"Unhandled prefetch abort:", kBug, kTitle, kFirst},
    {"Unhandled kernel unaligned access", kBug, kTitle, kFirst},
    {"Unhandled *exception on CPU", kBug, kTitle, kFirst},
    {"Bad mode in ", kBug, kTitle, kFirst},
    {"Synchronous External Abort: ", kHardware, kTitle, kFirst},
    {"SError Interrupt on CPU", kHardware, kTitle, kFirst},
    {"Unexpected kernel BRK exception", kBug, kSecond, kFirst},
    {"Unexpected kernel single-step exception", kBug, kSecond, kFirst},
    {"Insufficient stack space to handle exception!", kStackOverflow, kTitle, kFirst},
    {"Bad kernel stack pointer", kStackOverflow, kTitle, kFirst},
    {"Unrecoverable exception ", kBug, kTitle, kFirst},
    {"Unrecoverable *xception ", kBug, kTitle, kFirst, kNeedsBody},
    // parisc, sparc, alpha, m68k.
    {"Kernel Fault: Code=", kBug, kSecond, kFirst},
    {"Bad Address (null pointer deref?): Code=", kBug, kTitle, kFirst},
    {"Kernel bad sw trap ", kBug, kTitle, kFirst},
    {"Kernel illegal instruction [#", kBug, kTitle, kFirst},
    {"Kernel Bug ", kBug, kSecond, kFirst, kNeedsBody},
    {"BAD KERNEL BUSERR", kBug, kTitle, kFirst},
    // mips, loongarch.
    {"Reserved instruction in kernel code", kBug, kSecond, kFirst},
    {"Break instruction in kernel code", kBug, kSecond, kFirst},
    {"Trap instruction in kernel code", kBug, kSecond, kFirst},
    {"FP exception in kernel code", kBug, kSecond, kFirst},
    {"do_cpu invoked from kernel context!", kBug, kSecond, kFirst},
    {"Kernel unaligned instruction access", kBug, kSecond, kFirst},
    {"Kernel ale access[#", kBug, kSecond, kFirst},
    {"Data bus error, epc == ", kHardware, kTitle, kFirst, kNeedsBody},
    {"Instruction bus error, epc == ", kHardware, kTitle, kFirst, kNeedsBody},
    {"Cache error exception:", kHardware, kTitle, kFirst},

    // The processor's exceptions in kernel mode.
    {"general protection fault, probably for ", kBug, kTitle, kFirst},
    {"general protection fault*[#", kBug, kTitle, kFirst},
    {"general protection fault*: 0000 ", kBug, kTitle, kFirst},
    {"double fault:*[#", kBug, kSecond, kFirst},
    {"double fault: 0000 ", kBug, kSecond, kFirst},  // these of 2.6, where a number has no #
    {"divide error: 0000 ", kBug, kTitle, kFirst},
    {"invalid opcode: 0000 ", kBug, kSecond, kFirst},
    {"invalid operand: 0000", kBug, kSecond, kFirst},
    {"stack segment: 0000 ", kBug, kTitle, kFirst},
    {"int3: 0000 ", kBug, kTitle, kFirst},
    {"debug: 0000 ", kBug, kTitle, kFirst},
    {"alignment check: 0000 ", kBug, kTitle, kFirst},
    {"PANIC: double fault", kBug, kTitle, kFirst},
    {"PANIC: early exception", kPanic, kTitle, kFirst},
    {"divide error:*[#", kBug, kTitle, kFirst},
    {"divide_error:*[#", kBug, kTitle, kFirst},
    {"invalid opcode:*[#", kBug, kSecond, kFirst},
    {"stack segment:*[#", kBug, kTitle, kFirst},
    {"segment not present:*[#", kBug, kTitle, kFirst},
    {"alignment check:*[#", kBug, kTitle, kFirst},
    {"control protection fault:*[#", kBug, kTitle, kFirst},
    {"invalid TSS:*[#", kBug, kTitle, kFirst},
    {"bounds:*[#", kBug, kTitle, kFirst},
    {"overflow:*[#", kBug, kTitle, kFirst},
    {"int3:*[#", kBug, kTitle, kFirst},
    {"debug:*[#", kBug, kTitle, kFirst},
    {"simd exception:*[#", kBug, kTitle, kFirst},
    {"fpu exception:*[#", kBug, kTitle, kFirst},
    {"machine check:*[#", kHardware, kTitle, kFirst},
    {"addressing exception:*[#", kBug, kSecond, kFirst},
    {"protection exception:*[#", kBug, kTitle, kFirst},
    {"specification exception:*[#", kBug, kTitle, kFirst},
    {"data exception:*[#", kBug, kTitle, kFirst},
    {"fixpoint divide exception:*[#", kBug, kTitle, kFirst},
    {"operand exception:*[#", kBug, kTitle, kFirst},
    {"execute exception:*[#", kBug, kTitle, kFirst},
    {"privileged operation:*[#", kBug, kTitle, kFirst},
    {"special operation exception:*[#", kBug, kTitle, kFirst},
    {"translation exception:*[#", kBug, kTitle, kFirst},
    {"transaction constraint exception:*[#", kBug, kTitle, kFirst},
    {"illegal operation:*[#", kBug, kSecond, kFirst},
    {"operation exception:*[#", kBug, kSecond, kFirst},
    {"monitor event:*[#", kBug, kSecond, kFirst},
    {"Internal error: Oops - bad mode", kBug, kInside, kFirst},  // after "Bad mode in "
    {"Internal error:", kBug, kSecond, kFirst},
    {"Oops:", kBug, kSecond, kFirst},
    {"Oops [#", kBug, kSecond, kFirst},
    {"Oops[#", kBug, kSecond, kFirst},
    {"Oops - *[#", kBug, kSecond, kFirst},

    // Stacks.
    {"BUG: *stack guard page was hit", kStackOverflow, kTitle, kFirst},
    {"BUG: stack guard page", kStackOverflow, kTitle, kFirst},
    {"stack guard page:*[#", kStackOverflow, kSecond, kFirst},
    {"kernel stack overflow", kStackOverflow, kTitle, kFirst},
    {"Kernel stack overflow", kStackOverflow, kTitle, kFirst},
    {"Thread overran stack", kStackOverflow, kSecond, kFirst},
    {"do_IRQ: *stack overflow", kStackOverflow, kTitle, kFirst},

    // Claims that did not hold.
    {"kernel BUG at ", kBug, kSecond, kFirst},
    {"Kernel BUG at ", kBug, kSecond, kFirst},
    {"Kernel BUG [#", kBug, kSecond, kFirst},
    {"Kernel bug detected[#", kBug, kSecond, kFirst},
    {"detected buffer overflow in ", kBug, kOpener, kFirst},
    {"skb_over_panic: ", kBug, kOpener, kFirst},
    {"skb_under_panic: ", kBug, kOpener, kFirst},
    {"Kernel memory exposure attempt detected", kBug, kOpener, kFirst},
    {"Kernel memory overwrite attempt detected", kBug, kOpener, kFirst},
    {"list_add corruption", kBug, kDetail, kFirst},
    {"list_add double add: ", kBug, kDetail, kFirst},
    {"list_del corruption", kBug, kDetail, kFirst},
    {"slab error in ", kBug, kTitle, kFirst},
    {"Slab corruption", kBug, kTitle, kFirst},
    {"slab: Internal list corruption detected", kBug, kOpener, kFirst},
    {"slab: double free detected in cache", kBug, kOpener, kFirst},
    {"kmem_cache_destroy *: Slab cache still has objects", kBug, kTitle, kFirst, kNeedsBody},
    {"CFI failure at ", kBug, kDetail, kFirst},
    {"CFI failure (target: ", kBug, kDetail, kFirst},  // before 6.1
    {"Division by zero in kernel.", kBug, kTitle, kFirst},

    // Time.
    {"BUG: soft lockup", kHang, kTitle, kOperation},
    {"BUG: workqueue lockup", kHang, kTitle, kOperation},
    {"BUG: spinlock lockup", kHang, kTitle, kFirst},
    {"BUG: spinlock cpu recursion", kLockdep, kTitle, kFirst},
    {"BUG: rwlock lockup", kHang, kTitle, kFirst},
    {"BUG: rwlock-lockup", kHang, kTitle, kFirst},
    {"BUG: write-lock lockup", kHang, kTitle, kFirst},
    {"Watchdog detected hard LOCKUP", kHang, kSecond, kOperation},
    {"NMI watchdog: Watchdog detected hard LOCKUP", kHang, kSecond, kOperation},
    {"Watchdog CPU:* Hard LOCKUP", kHang, kTitle, kOperation},
    {"CPU * Hard LOCKUP", kHang, kTitle, kOperation},
    {"CPU *detected hard LOCKUP", kHang, kTitle, kOperation},
    {"NMI watchdog: BUG: soft lockup", kHang, kTitle, kOperation},
    {"NMI Watchdog detected LOCKUP", kHang, kTitle, kOperation},
    {"INFO: task * blocked for more than ", kHang, kTitle, kWait},
    {"INFO: task * blocked in I/O wait for more than ", kHang, kTitle, kWait},
    {"INFO: rcu* detected *stall", kHang, kTitle, kOperation},
    {"INFO: rcu*self-detected stall", kHang, kTitle, kOperation},
    {"INFO: RCU detected *stall", kHang, kTitle, kOperation},
    {"INFO: rcu* stall", kHang, kTitle, kOperation},
    {"unregister_netdevice: waiting for ", kHang, kTitle, kNobody},
    {"Freezing of tasks failed after ", kHang, kTitle, kWait, kNeedsBody},
    {"Freezing user space processes failed after ", kHang, kTitle, kWait, kNeedsBody},
    {"Freezing remaining freezable tasks failed after ", kHang, kTitle, kWait, kNeedsBody},

    // Lock validation: 4.15 and later say WARNING, before that it was INFO or BUG in brackets.
    {"WARNING: possible circular locking", kLockdep, kTitle, kLockSite},
    {"WARNING: possible recursive locking", kLockdep, kTitle, kLockSite},
    {"WARNING: possible irq lock inversion", kLockdep, kTitle, kLockSite},
    {"WARNING: possible * lock inversion", kLockdep, kTitle, kLockSite},
    {"WARNING: *-safe -> *-unsafe lock order", kLockdep, kTitle, kInterrupt},
    {"WARNING: inconsistent lock state", kLockdep, kTitle, kLockSite},
    {"WARNING: suspicious RCU usage", kLockdep, kTitle, kNamed},
    {"WARNING: bad unlock balance", kLockdep, kTitle, kLockSite},
    {"WARNING: held lock freed", kLockdep, kTitle, kLockSite},
    {"WARNING: lock held when returning to user", kLockdep, kTitle, kLockSite},
    {"WARNING: *still has locks held", kLockdep, kTitle, kLockSite},
    {"WARNING: Nested lock was not taken", kLockdep, kTitle, kLockSite},
    {"WARNING: bad contention detected", kLockdep, kTitle, kLockSite},
    {"WARNING: Invalid wait context", kLockdep, kTitle, kLockSite},
    {"WARNING: nested lock was not taken", kLockdep, kTitle, kLockSite},
    {"INFO: possible circular locking", kLockdep, kTitle, kLockSite},
    {"INFO: possible recursive locking", kLockdep, kTitle, kLockSite},
    {"INFO: possible * lock inversion", kLockdep, kTitle, kLockSite},
    {"INFO: *-safe -> *-unsafe lock order", kLockdep, kTitle, kInterrupt},
    {"INFO: inconsistent lock state", kLockdep, kTitle, kLockSite},
    {"INFO: suspicious RCU usage", kLockdep, kTitle, kNamed},
    {"INFO: suspicious rcu_dereference", kLockdep, kTitle, kFirst},
    {"INFO: trying to register non-static key", kLockdep, kTitle, kFirst},
    {"possible circular locking", kLockdep, kTitle, kLockSite},
    {"inconsistent lock state", kLockdep, kTitle, kLockSite},
    {"BUG: bad unlock balance", kLockdep, kTitle, kLockSite},
    {"BUG: bad contention detected", kLockdep, kTitle, kLockSite},
    {"BUG: circular locking deadlock detected", kLockdep, kTitle, kLockSite},
    {"BUG: held lock freed", kLockdep, kTitle, kLockSite},
    {"BUG: lock held when returning to user", kLockdep, kTitle, kLockSite},
    {"BUG: lock held at task exit time", kLockdep, kTitle, kLockSite},
    {"BUG: *still has locks held", kLockdep, kTitle, kLockSite},
    {"BUG: *still has lock", kLockdep, kTitle, kLockSite},
    {"BUG: Nested lock was not taken", kLockdep, kTitle, kLockSite},
    {"BUG: Invalid wait context", kLockdep, kTitle, kLockSite},
    {"BUG: key * not in .data", kLockdep, kTitle, kFirst},
    {"BUG: MAX_LOCK", kLockdep, kTitle, kFirst},
    {"BUG: MAX_STACK_TRACE_ENTRIES", kLockdep, kTitle, kFirst},
    {"BUG: looking up invalid subclass", kLockdep, kTitle, kFirst},
    {"BUG: spinlock ", kLockdep, kTitle, kFirst},
    {"BUG: rwlock ", kLockdep, kTitle, kFirst},
    {"BUG: using ", kBug, kTitle, kFirst},

    // Sanitizers.
    {"BUG: KASAN: ", kSanitizer, kTitle, kFirst},
    {"BUG: KASan: ", kSanitizer, kTitle, kFirst},  // 4.0 to 4.3
    {"BUG: KMSAN: ", kSanitizer, kTitle, kFirst},
    {"BUG: KCSAN: ", kSanitizer, kTitle, kNamed},
    {"BUG: KFENCE: ", kSanitizer, kTitle, kFirst},
    {"BUG: KTSAN: ", kSanitizer, kTitle, kFirst},
    {"UBSAN: ", kSanitizer, kTitle, kFirst},
    {"KASAN: *in range [", kSanitizer, kDetail, kFirst},
    {"KASAN: probably user-memory-access", kSanitizer, kDetail, kFirst},

    // Memory: leaks, pages, slabs.
    {"BUG: memory leak", kLeak, kTitle, kLeaker},
    {"unreferenced object 0x", kLeak, kSecond, kLeaker},
    {"* new suspected memory leaks", kLeak, kTitle, kNobody},
    {"BUG: Bad page ", kBug, kTitle, kOwner},
    {"Bad page state in process", kBug, kTitle, kOwner},
    {"Bad page state at ", kBug, kTitle, kOwner},
    {"mm/*: bad pmd ", kBug, kTitle, kNobody},
    {"mm/*: bad pud ", kBug, kTitle, kNobody},
    {"mm/*: bad pgd ", kBug, kTitle, kNobody},
    {"BUG: Bad rss-counter state", kBug, kTitle, kNobody},
    {"BUG: non-zero ", kBug, kTitle, kNobody},
    {"BUG *(*ainted*): ", kBug, kSecond, kFirst},
    {"INFO: Slab 0x", kBug, kInside, kFirst},
    {"INFO: Freed in ", kBug, kInside, kNamed},
    {"INFO: Allocated in ", kBug, kInside, kNamed},
    {"Slab 0x*objects=", kBug, kInside, kFirst},
    {"VFS: Busy inodes after unmount", kBug, kTitle, kFirst},
    {"VFS: Close: file count is ", kBug, kTitle, kFirst},

    {"BUG: sleeping function called from invalid context", kBug, kTitle, kFirst},
    {"BUG: scheduling while atomic", kBug, kTitle, kWait},
    {"scheduling while atomic:", kBug, kTitle, kWait},
    {"bad: scheduling while atomic!", kBug, kTitle, kWait},
    {"bad: scheduling from the idle thread", kBug, kTitle, kWait},
    {"Debug: sleeping function called from ", kBug, kTitle, kFirst},
    {"BUG: workqueue leaked ", kBug, kTitle, kHandler},
    {"huh, entered softirq ", kBug, kTitle, kNobody},
    {"timer: *preempt leak: ", kBug, kTitle, kNamed},
    {"BUG: warning at ", kWarning, kTitle, kFirst},  // 2.6.18 to 2.6.20
    {"BUG: ", kBug, kTitle, kFirst},

    // Warnings.
    {"WARNING: CPU: * at ", kWarning, kSecond, kFirst},
    {"WARNING: at ", kWarning, kSecond, kFirst},
    {"WARNING: * at *, CPU#", kWarning, kSecond, kFirst},
    {"WARNING: kernel stack ", kWarning, kTitle, kFirst},
    {"WARNING: stack recursion", kWarning, kTitle, kFirst},
    {"WARNING: can't ", kWarning, kTitle, kFirst},
    {"WARNING: unrecognized unwind", kWarning, kTitle, kFirst},
    {"WARNING: ", kWarning, kTitle, kFirst, kNeedsBody},
    {"Badness at ", kWarning, kSecond, kFirst},
    {"Badness in ", kWarning, kSecond, kFirst},
    {"unchecked MSR access error: ", kWarning, kTitle, kFirst},
    {"refcount_t: ", kWarning, kDetail, kFirst},
    {"ODEBUG: ", kWarning, kDetail, kFirst},
    {"DEBUG_LOCKS_WARN_ON(", kLockdep, kDetail, kFirst},
    {"NETDEV WATCHDOG: *: transmit timed out", kWarning, kInside, kNobody},  // before 2.6.27
    {"NETDEV WATCHDOG: ", kWarning, kDetail, kFirst},
    {"DMA-API: *: ", kWarning, kDetail, kFirst, kNeedsBody},
    {"sysfs: cannot create duplicate filename ", kWarning, kDetail, kFirst, kNeedsBody},
    {"kobject_add* failed for * with -EEXIST", kWarning, kDetail, kFirst, kNeedsBody},
    {"kobject: '*): is not initialized, yet ", kWarning, kDetail, kFirst, kNeedsBody},
    {"irq event *: bogus return value ", kWarning, kTitle, kHandler},
    {"irq *: nobody cared", kWarning, kTitle, kHandler},

    // No memory.
    {"Out of memory: Kill", kOom, kInside, kNobody},
    {"Out of Memory: Kill", kOom, kInside, kNobody},
    {"Memory cgroup out of memory: Kill", kOom, kInside, kNobody},
    {"oom-kill:constraint=", kOom, kInside, kNobody},

    // Hardware.
    {"[Hardware Error]: ", kHardware, kInside, kNobody},
    {"Hardware Error]: ", kHardware, kInside, kNobody},
    {"Machine check events logged", kHardware, kInside, kNobody},
    {"Machine Check Exception", kHardware, kTitle, kNobody},
    {"MACHINE CHECK", kHardware, kTitle, kNobody},
    {"Machine check in kernel mode", kHardware, kTitle, kFirst},
    {"Severe Machine check interrupt [", kHardware, kTitle, kFirst},
    {"MCE: The hardware reports a non fatal", kHardware, kTitle, kNobody},
    {"Uncorrected hardware memory error", kHardware, kInside, kNobody},
    {"Memory failure: *: recovery action for ", kHardware, kInside, kNobody},
    {"CPU *: Machine Check Exception", kHardware, kTitle, kNobody},
    {"NMI: PCI system error (SERR)", kHardware, kTitle, kNobody},
    {"NMI: IOCK error", kHardware, kTitle, kNobody},
    {"NMI: memory parity error", kHardware, kTitle, kNobody},
    {"EDAC *: * CE ", kHardware, kInside, kNobody},
    {"EDAC *: * UE ", kHardware, kInside, kNobody},
    {"EDAC *: CE ", kHardware, kInside, kNobody},
    {"EDAC *: UE ", kHardware, kInside, kNobody},

    // The end.
    {"VFS: Unable to mount root fs", kPanic, kTitle, kNobody},
    {"VFS: Cannot open root device ", kPanic, kOpener, kNobody},
    {"Kernel panic - not syncing: corrupted stack end", kStackOverflow, kTheEnd, kOperation},
    {"Kernel panic - not syncing: VFS: Unable to mount root fs", kPanic, kTheEnd, kNobody},
    {"Kernel panic - not syncing: Attempted to kill init", kPanic, kTheEnd, kNobody},
    {"Kernel panic - not syncing: No working init found", kPanic, kTheEnd, kNobody},
    {"Kernel panic - not syncing: No init found", kPanic, kTheEnd, kNobody},
    {"Kernel panic - not syncing: Requested init", kPanic, kTheEnd, kNobody},
    {"Kernel panic - ", kPanic, kTheEnd, kFirst},
    {"Kernel panic: ", kPanic, kTheEnd, kFirst},
};

// Behind the names of a driver and its device ("pcieport 0000:00:1c.0: ").
constexpr Beginning kDeviceBeginnings[] = {
    {"AER: * error received", kHardware, kInside, kNobody},
    {"AER: * error message received", kHardware, kInside, kNobody},
    {"PCIe Bus Error: ", kHardware, kInside, kNobody},
    {"DPC: containment event", kHardware, kInside, kNobody},
    {"DMA-API: ", kWarning, kDetail, kFirst, kNeedsBody},
    // 6.5 and later say it without a warning.
    {"NETDEV WATCHDOG: CPU: ", kWarning, kInside, kNobody},
};

// Behind the name of a process, which may hold anything.
constexpr std::string_view kOomPhrase = " invoked oom-killer: ";
constexpr Beginning kOomBeginning = {kOomPhrase, kOom, kTitle, kNobody};

// ---- Endings
// -------------------------------------------------------------------------------------

constexpr std::string_view kEndings[] = {
    "---[ end trace ",     "---[ end Kernel panic",
    "Rebooting in ",       "oom_reaper: reaped process",
    "Out of memory: Kill", "Memory cgroup out of memory: Kill",
};

// ---- What stands behind the title
// ----------------------------------------------------------------

constexpr std::string_view kBodies[] = {
    "CPU: ",
    "Pid: ",
    "Call Trace:",
    "Call trace:",
    "Backtrace:",
    "Modules linked",
    "RIP: ",
    "RIP  ",
    "EIP: ",
    "EIP is at",
    "PC is at ",
    "pc : ",
    "epc : ",
    "epc   : ",
    "NIP:",
    "NIP [",
    "Krnl PSW",
    "task:",
    "Stack:",
    "Process ",
    "backtrace:",
    "stack backtrace:",
    "NMI backtrace for cpu",
    "Mem-Info:",
    "Mem-info:",
    "TSTATE: ",
    "pc = [<",
};

// Finds the pattern that fits among many: by the first character, and of those that share it by the
// first four. Patterns that start with any text stand with the digits, which is what that text is.
class PatternIndex {
 public:
  explicit PatternIndex(std::span<const Beginning> beginnings) {
    for (const Beginning& beginning : beginnings) {
      const std::string_view literal = beginning.pattern.substr(0, beginning.pattern.find('*'));
      const Entry entry{
          .front = FrontOf(literal),
          .mask = FrontOf(
              std::string_view("\xff\xff\xff\xff").substr(0, std::min(literal.size(), kFront))),
          .beginning = &beginning};
      if (!literal.empty()) {
        by_first_[static_cast<unsigned char>(literal[0])].push_back(entry);
        continue;
      }
      for (unsigned char digit = '0'; digit <= '9'; ++digit) by_first_[digit].push_back(entry);
    }
  }

  // The first of the table that `text` starts with.
  const Beginning* Find(std::string_view text) const {
    if (text.empty()) return nullptr;
    const uint32_t front = FrontOf(text);
    for (const Entry& entry : by_first_[static_cast<unsigned char>(text[0])]) {
      if ((front & entry.mask) != entry.front) continue;
      if (MatchesPattern(text, entry.beginning->pattern)) return entry.beginning;
    }
    return nullptr;
  }

 private:
  static constexpr size_t kFront = sizeof(uint32_t);
  struct Entry {
    uint32_t front;  // the first characters of the pattern, as they lie in memory
    uint32_t mask;   // ff for each of them
    const Beginning* beginning;
  };

  static uint32_t FrontOf(std::string_view text) {
    uint32_t front = 0;
    std::memcpy(&front, text.data(), std::min(text.size(), kFront));
    return front;
  }

  std::array<std::vector<Entry>, 256> by_first_;
};

const Beginning* FindAtStart(std::string_view text) {
  static const PatternIndex index(kBeginnings);
  return index.Find(text);
}

const Beginning* FindBehindDevice(std::string_view text) {
  static const PatternIndex index(kDeviceBeginnings);
  return index.Find(text);
}

}  // namespace

const KindInfo& InfoOf(ReportKind kind) { return kKinds[static_cast<size_t>(kind)]; }

bool MatchesPattern(std::string_view text, std::string_view pattern) {
  size_t star = pattern.find('*');
  if (!text.starts_with(pattern.substr(0, star))) return false;
  while (star != std::string_view::npos) {
    text.remove_prefix(std::min(star, text.size()));
    pattern.remove_prefix(star + 1);
    star = pattern.find('*');
    const std::string_view literal = pattern.substr(0, star);
    const size_t found = text.find(literal);
    if (found == std::string_view::npos) return false;
    text.remove_prefix(found);
  }
  return true;
}

const Beginning* FindBeginning(std::string_view text) {
  constexpr size_t kLongestModule = 24;   // of the prefix that a part of the kernel puts in front
  constexpr size_t kLongestDevices = 64;  // of the names of drivers, devices and processes
  // "[ BUG: bad unlock balance detected! ]" of older lock validation; "{1}[Hardware Error]: ".
  if (text.starts_with("[ ")) text.remove_prefix(2);
  if (text.size() > 3 && text[0] == '{' && text[2] == '}') text.remove_prefix(3);
  if (const Beginning* found = FindAtStart(text)) return found;
  const std::string_view head = text.substr(0, kLongestDevices);
  size_t colon = head.find(": ");
  if (colon == std::string_view::npos) return nullptr;
  if (colon <= kLongestModule && head.find(' ') > colon) {
    if (const Beginning* found = FindAtStart(text.substr(colon + 2))) return found;
  }
  for (; colon != std::string_view::npos; colon = head.find(": ", colon + 1)) {
    if (head.substr(0, colon + 2).ends_with(kOomPhrase)) return &kOomBeginning;
    if (const Beginning* found = FindBehindDevice(text.substr(colon + 2))) return found;
  }
  return nullptr;
}

bool IsEnding(std::string_view text) {
  for (const std::string_view ending : kEndings) {
    if (text.starts_with(ending)) return true;
  }
  return false;
}

bool IsBody(std::string_view text) {
  for (const std::string_view body : kBodies) {
    if (text.starts_with(body)) return true;
  }
  return ParseStackFrame(text).has_value();
}

}  // namespace telem
