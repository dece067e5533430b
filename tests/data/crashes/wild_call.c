// Calls what is no function.
#include "canaries.h"

typedef int (*callback)(int);
static volatile callback callbacks[2];

NEVER_INLINE static int notify(int index) { return callbacks[index](index) + 1; }

int main(int argc, char** argv) {
  PUT_CANARIES;
  (void)argv;
  return notify(argc > 50) + canary_on_stack[1];
}
