// Three threads: two wait, and the first crashes below a function that is inlined.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "canaries.h"

static int waiting;

NEVER_INLINE static void wait_for_work(void) {
  __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
  for (;;) pause();
}

static void* work(void* argument) {
  wait_for_work();
  return argument;
}

NEVER_INLINE static int parse_header(volatile int* p) {
  CRASH(p);
  return *p + 1;
}

static inline int load(volatile int* p) { return parse_header(p) * 3; }

NEVER_INLINE int run(volatile int* p) { return load(p) + 2; }

int main(int argc, char** argv) {
  PUT_CANARIES;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 * 1024);
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &small, work, NULL) != 0) return 2;
  }
  while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 2) sched_yield();
  return run(argc > 100 ? (volatile int*)argv[1] : 0) + canary_on_stack[argc];
}
