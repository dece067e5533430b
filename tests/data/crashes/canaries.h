// Secrets where a crash handler may come across them: on the stack, on the heap, and (by CRASH) in
// the registers. No record may hold any of them.
#pragma once

#include <stdlib.h>
#include <string.h>

static char* volatile canary_on_heap;

#define PUT_CANARIES                                 \
  volatile char canary_on_stack[64];                 \
  strcpy((char*)canary_on_stack, "CANARY-ON-STACK"); \
  canary_on_heap = (char*)malloc(64);                \
  strcpy(canary_on_heap, "CANARY-ON-HEAP")

// Writes to `address` while "CANARYRE" is in registers.
#if defined(__x86_64__)
#define CRASH(address)                                                            \
  __asm__ volatile(                                                               \
      "movabs $0x455259524152414e, %%r8\n\tmov %%r8, %%r9\n\tmov %%r8, %%r10\n\t" \
      "mov %%r8, %%r11\n\tmov %%r8, %%rsi\n\tmovl $1, (%0)"                       \
      :                                                                           \
      : "a"(address)                                                              \
      : "r8", "r9", "r10", "r11", "rsi", "memory")
#else
#define CRASH(address)                                                        \
  __asm__ volatile("mov x9, %1\n\tmov x10, x9\n\tmov x11, x9\n\tstr x9, [%0]" \
                   :                                                          \
                   : "r"(address), "r"(0x455259524152414eL)                   \
                   : "x9", "x10", "x11", "memory")
#endif

#define NEVER_INLINE __attribute__((noinline, noclone))
