// Crashes in a signal handler, on a stack of its own.
#include <signal.h>
#include <stdio.h>

#include "canaries.h"

NEVER_INLINE static void report(volatile int* p) { CRASH(p); }

static void on_signal(int number) { report((volatile int*)(long)(number == 0)); }

NEVER_INLINE static int work(void) {
  raise(SIGUSR1);
  return 1;
}

int main(void) {
  PUT_CANARIES;
  static char stack[65536];
  const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
  sigaltstack(&alternative, NULL);
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  return work() + canary_on_stack[1];
}
