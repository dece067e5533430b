// Which functions of a kernel are never to blame: they report, lock, allocate, copy, wait or
// interrupt on somebody's behalf. The table is in plumbing.cc, by what the functions are for.
#pragma once

#include <string_view>

namespace telem {

// `function` as PlainName() gives it.

// Reports, locks, copies, counts references, handles faults and interrupts.
bool IsPlumbing(std::string_view function);

// Writes reports, or checks what they are about: the part of the plumbing that is to blame last.
bool IsReporting(std::string_view function);

// Gets and returns memory. It may be to blame where its own locks are the matter.
bool IsAllocator(std::string_view function);

// Gets memory for its caller, be it by itself or for what it keeps or copies: where memory is lost,
// the next one up is of interest.
bool IsAllocatorForOthers(std::string_view function);

// Puts a task to sleep until something comes: in a task that hangs, the next one up is of interest.
bool IsWaiting(std::string_view function);

// Chooses who runs, puts to sleep and wakes up.
bool IsScheduling(std::string_view function);

// Keeps the objects of other subsystems: where it warns, it warns about what its caller did with
// them. A fault in it is its own.
bool IsBookkeeping(std::string_view function);

// The processor's way into an interrupt or exception: what stands above it in a stack is the
// handler, what stands below was interrupted.
bool IsInterruptEntry(std::string_view function);

// Calls the function of whichever subsystem is in charge: system calls, file operations, work
// queues, timers, message handlers. What it calls is an operation of its own.
bool IsDispatcher(std::string_view function);

// Waits for the other processors.
bool IsWaitingForProcessors(std::string_view function);

}  // namespace telem
