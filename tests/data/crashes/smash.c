// Writes over the end of its stack frame, and so over where it would return to.
#include "canaries.h"

NEVER_INLINE static void copy_name(volatile char* to, int size) {
  for (int i = 0; i < size; i++) to[i] = "CANARY-ON-STACK."[i % 16];
}

NEVER_INLINE static int parse_name(int size) {
  volatile char name[16];
  copy_name(name, size);
  return name[0];
}

int main(int argc, char** argv) {
  PUT_CANARIES;
  (void)argv;
  return parse_name(argc > 0 ? 64 : 8) + canary_on_stack[argc];
}
