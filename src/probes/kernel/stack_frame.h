// One function in a kernel's stack trace, in all the forms that kernels of 2.6 to 6.x print on
// x86, arm, arm64, riscv, s390, powerpc and mips.
#pragma once

#include <optional>
#include <string_view>

namespace telem {

struct StackFrame {
  std::string_view function;  // as printed, with suffixes like ".isra.0"
  std::string_view module;    // empty: the kernel itself
  std::string_view offset;    // "+0x45/0x57"; empty where the kernel printed none
  bool certain = true;  // false: printed with `?`, a return address that just lay on the stack
};

// Whether all of `text` is a line of a stack trace, and what it says.
//   dump_stack+0x194/0x257
//   ? ath9k_tasklet+0x1a/0x90 [ath9k]
//   <IRQ>  [<ffffffff816efb87>] sched_show_task+0x31a/0x325
//   [<c00c89f0>] (create_object) from [<c00c6764>] (__kmalloc+0x138/0x178)
//   [c0000000f7e1bbd0] [c00000000012ab34] .do_exit+0x10/0x20 (unreliable)
//   <ffffffff8026fd91>{schedule+236} <ffffffff882ea9ff>{:ath9k:ath9k_tasklet+26}
//   [<ffffffffa0011756>] :ath9k:ath9k_tasklet+0x1a/0x90
//   Caller[00000000004342ac]: sys_sync+0x10/0x40
std::optional<StackFrame> ParseStackFrame(std::string_view text);

// As ParseStackFrame(), and leaves in `rest` what old kernels printed behind it: more frames.
std::optional<StackFrame> TakeStackFrame(std::string_view& rest);

// Takes `func+0x45/0x57 [module]` off `rest`, with `[<address>]` and brackets around it where they
// are. Nullopt when it does not start with one.
std::optional<StackFrame> TakeFunction(std::string_view& rest);

// `function` without what compilers add to a name (".isra.0", ".constprop.0", ".part.1",
// ".cold", ".llvm.123") and without the dot of old powerpc symbols.
std::string_view PlainName(std::string_view function);

}  // namespace telem
