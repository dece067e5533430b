// The way to the caller where no unwind table tells it: code that a program generated, assembly
// without annotations, programs built without tables, and where the kernel entered a signal handler
// through code that is not annotated (that of Go).
#pragma once

#include <cstdint>
#include <optional>

#include "unwind/core_notes.h"
#include "unwind/module_map.h"
#include "unwind/process_memory.h"

namespace telem {

// Whether the kernel's frame of a signal is on the stack at `pc`: a call of rt_sigreturn(2).
bool IsSignalReturn(Machine machine, uint64_t pc, ProcessMemory& memory);

struct UntabledStep {
  ThreadState caller;
  // Whether the caller was interrupted by a signal, and not left by a call.
  bool was_interrupted = false;
};

// From the registers of `thread` to those of its caller. What a signal interrupted is told by the
// kernel's frame. Else, where the code at `function` (the start of the function, where it is known)
// keeps no frame pointer: by the first value on the stack that a call of this function must have
// put there. Else by the frame pointer, if it leads to code. Else by the first value on the stack
// that any call must have put there. x86_64 alone; on aarch64, where libdw follows frame pointers
// well, only what a signal interrupted.
std::optional<UntabledStep> StepWithoutTables(Machine machine, const ThreadState& thread,
                                              std::optional<uint64_t> function,
                                              const ModuleMap& map, ProcessMemory& memory);

}  // namespace telem
