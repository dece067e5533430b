// Three functions deep, one of them inlined where the compiler is allowed to.
#include "canaries.h"

NEVER_INLINE static int parse_header(volatile int* p) {
  CRASH(p);
  return *p + 1;
}

static inline int load(volatile int* p) { return parse_header(p) * 3; }

NEVER_INLINE int run(volatile int* p) { return load(p) + 2; }

int main(int argc, char** argv) {
  PUT_CANARIES;
  return run(argc > 100 ? (volatile int*)argv[1] : 0) + canary_on_stack[argc];
}
