// 200 threads: 196 wait in one place, one is deep in its stack, one has lost its stack, and one
// walks frames that lead back to themselves. The first one crashes once all are there.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "canaries.h"

enum { kThreads = 199 };
int parked;  // threads that are where they shall be found

NEVER_INLINE static void wait_for_work(void) {
  __atomic_add_fetch(&parked, 1, __ATOMIC_SEQ_CST);
  for (;;) pause();
}

NEVER_INLINE static int descend(int depth) {
  if (depth == 0) wait_for_work();
  const int below = descend(depth - 1);
  __asm__ volatile("");  // no compiler makes a loop of this
  return below + depth;
}

#if defined(__x86_64__)
#define PARK "lock incl parked(%rip)\n0:\tpause\n\tjmp 0b\n"
// No memory is where its stack pointer points to.
__asm__(
    ".text\n.type lose_stack, @function\nlose_stack:\n"
    "\tmov $0x1000, %esp\n\tmov $0x1000, %ebp\n\t" PARK ".size lose_stack, .-lose_stack\n");
// Code without unwind tables, so that only frame pointers lead on; and these lead to themselves.
__asm__(
    ".type circle, @function\ncircle:\n"
    "\tpush %rbp\n\tmov %rsp, %rbp\n\tmov %rbp, (%rbp)\n\t" PARK ".size circle, .-circle\n");
void lose_stack(void);
void circle(void);
#else
static void lose_stack(void) { wait_for_work(); }
static void circle(void) { wait_for_work(); }
#endif

static void* work(void* number) {
  switch ((long)number) {
    case 0:
      descend(1000);
      break;
    case 1:
      lose_stack();
      break;
    case 2:
      circle();
      break;
    default:
      wait_for_work();
  }
  return NULL;
}

NEVER_INLINE static void fail(volatile int* p) { CRASH(p); }

int main(void) {
  PUT_CANARIES;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 * 1024);
  for (long i = 0; i < kThreads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &small, work, (void*)i) != 0) return 2;
  }
  while (__atomic_load_n(&parked, __ATOMIC_SEQ_CST) < kThreads) sched_yield();
  fail(NULL);
  return canary_on_stack[1];
}
