// The payload of a kernel report's record, in the form of 1.x:
//
//   Crash Report:
//   Reason: WARNING: CPU: 3 PID: 0 at net/sched/sch_generic.c:303 dev_watchdog+0x254/0x260
//   Kernel Version : 4.0.5-300.fc22.x86_64 #1
//   …
//   Backtrace :
//   #1 dump_stack - [kernel] +0x45/0x57
//   #2 ? qdisc_rcu_free - [kernel]
#pragma once

#include <string>

#include "probes/kernel/kernel_report.h"

namespace telem {

// With personal data masked. At most 64 KiB.
std::string WritePayload(const KernelReport& report);

// "s1:" and 16 hex digits: the same for the same bug in other builds, at other addresses and on
// other machines (docs/signatures.md).
std::string SignatureOf(const KernelReport& report);

}  // namespace telem
