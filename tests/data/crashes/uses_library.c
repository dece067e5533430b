// Crashes in a library, once somebody has had the time to delete or replace it.
#include <stdio.h>

#include "canaries.h"

int library_load(volatile int* p);

NEVER_INLINE static int run(void) { return library_load(0) + 2; }

int main(void) {
  PUT_CANARIES;
  puts("ready");
  fflush(stdout);
  return getchar() + run() + canary_on_stack[1];
}
