// Crashes in the vdso, which is no file.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

#include "canaries.h"

NEVER_INLINE static int read_clock(struct timespec* where) {
  return clock_gettime(CLOCK_MONOTONIC, where) + 1;
}

int main(void) {
  PUT_CANARIES;
  struct timespec now;
  const int works = read_clock(&now);
  return works + read_clock((struct timespec*)8) + canary_on_stack[1];
}
