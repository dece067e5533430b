// A library whose function crashes once it is told to.
#include "canaries.h"

NEVER_INLINE static int decode(volatile int* p) {
  CRASH(p);
  return *p + 1;
}

int library_load(volatile int* p) { return decode(p) + 3; }
