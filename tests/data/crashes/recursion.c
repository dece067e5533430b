// Two functions call each other until the stack is full: with 8 MiB, 262,000 frames of 32 bytes.
#include "canaries.h"

NEVER_INLINE int walk_right(int depth);

NEVER_INLINE int walk_left(int depth) { return walk_right(depth + 1) + 1; }

NEVER_INLINE int walk_right(int depth) { return walk_left(depth + 1) - 1; }

int main(int argc, char** argv) {
  PUT_CANARIES;
  (void)argv;
  return walk_left(argc) + canary_on_stack[argc];
}
