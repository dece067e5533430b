// One line of a kernel log, without what stands in front of the kernel's own words.
//
// The same line is written in many ways:
//   <4>[  123.456789][ T1234] text        a serial console, pstore, dmesg --raw
//   [  123.456789] text                   dmesg
//   [Wed Nov 25 04:52:10 2026] text       dmesg -T
//   kern  :warn  : [  123.456789] text    dmesg -x
//   Nov 25 04:52:10 host kernel: text     syslog; the host's name goes with the prefix
//   6,339,5140900,-;text                  /dev/kmsg, netconsole
//   login: [  123.456789] text        a console on which something else had printed
//   ** 12 printk messages dropped ** [  123.456789] text
//   [    1.234567] host kernel: text      journalctl --output=short-monotonic
//   Nov 25 04:52:10 host text             a syslog without the kernel's tag
//   [guest/uart0] [  123.456789] text     who relays consoles
//   [ ] text                              who took the times out
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace telem {

struct LogLine {
  std::optional<uint64_t> time_us;  // microseconds since the kernel's start
  std::string_view caller;          // "T1234" or "C1" where the kernel says who printed the line
  std::string_view text;            // indentation kept; no CR, no newline
};

// `line` without its newline. Never fails: what has no prefix is all text.
LogLine SplitLogLine(std::string_view line);

}  // namespace telem
