// Sixteen bugs in C, each behind functions of its own. The first argument names the bug.
#define _GNU_SOURCE
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// What compilers cannot know: that these are still zero.
static void* volatile nothing;
static volatile int zero;

typedef struct Node {
  struct Node* next;
  int value;
} Node;

static int sum_list(const Node* node) {
  int sum = 0;
  for (int i = 0; i < 3; i++) {
    sum += node->value;
    node = node->next;
  }
  return sum;
}
static int measure_list(int scale) {
  Node last = {nothing, 2};
  return sum_list(&last) * scale;
}
static int null_list(int n) { return measure_list(n) + 1; }

static int release_buffer(char* buffer, int size) {
  free(buffer);
  return size - 1;
}
static int close_session(int n) {
  char* volatile buffer = malloc(100);
  const int first = release_buffer(buffer, n);
  return first + release_buffer(buffer, n);
}
static int double_free(int n) { return close_session(n + 1) * 2; }

static int drop_entry(char* entry, int size) {
  volatile char* before = entry - 16;
  for (int i = 0; i < 16; i++) before[i] = 0x5a;
  free(entry);
  return size;
}
static int resize_table(int n) {
  char* volatile first = malloc(40);
  char* volatile second = malloc(40);
  const int dropped = drop_entry(second, 4 + zero);
  free(first);
  return dropped + n;
}
static int heap_underflow(int n) { return resize_table(n) - 4; }

static int check_size(int size) {
  assert(size > 0);
  return size * 2;
}
static int read_block(int n) { return check_size(n - 1) + 7; }
static int failed_assertion(int n) { return read_block(n + zero) + 1; }

static int give_up(int code) {
  if (code != 77) abort();
  return code;
}
static int open_store(int n) { return give_up(n + 3) ^ 5; }
static int plain_abort(int n) { return open_store(n) + 9; }

static int walk_right(Node* node, int depth);
static int walk_left(Node* node, int depth) {
  volatile int here = depth;
  return walk_right(node, depth + 1) + here;
}
static int walk_right(Node* node, int depth) {
  volatile int here = depth * 2;
  if (depth == -1) return 0;
  return walk_left(node, depth + 1) - here;
}
static int endless_recursion(int n) {
  Node node = {&node, n};
  return walk_left(&node, n) + 3;
}

static int average(int sum, int count) { return sum / count; }
static int rate(int n) { return average(n * 1000, zero) + 4; }
static int division_by_zero(int n) { return rate(n) * 3; }

typedef int (*Callback)(int);
static int notify(Callback callback, int event) { return callback(event + 1) + 1; }
static int dispatch(int n) { return notify((Callback)nothing, n) * 5; }
static int call_of_nothing(int n) { return dispatch(n) + 8; }

static int read_header(const volatile char* file) { return file[100] + file[200]; }
static int map_file(int n) {
  char name[] = "/tmp/causes.XXXXXX";
  const int file = mkstemp(name);
  unlink(name);
  const volatile char* bytes = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  return read_header(bytes) + n;
}
static int truncated_file(int n) { return map_file(n) + 2; }

static int measure_name(const char* name) { return (int)strlen(name) + 1; }
static int print_title(int n) { return measure_name(nothing) * n; }
static int no_name(int n) { return print_title(n) + 6; }

static int fill_page(char* page, size_t size) {
  static char source[8192];
  memcpy(page, source, size);
  return page[1];
}
static int write_page(int n) {
  char* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return fill_page(page, 4000 + (size_t)zero) + n;
}
static int read_only_memory(int n) { return write_page(n) - 1; }

static int compare_rows(const void* a, const void* b) {
  const int* const* left = a;
  const int* const* right = b;
  return **left - **right;
}
static int sort_rows(int n) {
  static int one = 1;
  int* rows[6] = {&one, &one, nothing, &one, &one, &one};
  qsort(rows, 6, sizeof(rows[0]), compare_rows);
  return *rows[0] + n;
}
static int bad_row(int n) { return sort_rows(n) * 7; }

static int handle_job(const Node* job) { return job->value + job->next->value; }
static void* run_worker(void* argument) {
  Node job = {nothing, *(int*)argument};
  *(int*)argument = handle_job(&job);
  return argument;
}
static int crash_in_thread(int n) {
  pthread_t thread;
  pthread_create(&thread, NULL, run_worker, &n);
  pthread_join(thread, NULL);
  return n;
}

static int save_state(volatile int* state) { return *state + 1; }
static void on_signal(int number) { zero = save_state(nothing) + number; }
static int reload(int n) {
  signal(SIGUSR1, on_signal);
  return raise(SIGUSR1) + n;
}
static int crash_in_handler(int n) { return reload(n) + 3; }

static int print_user(FILE* to, const char* user) {
  return fprintf(to, "user %s of %d\n", user, zero);
}
static int print_users(int n) { return print_user(stderr, (const char*)(16L + zero)) + n; }
static int bad_format(int n) { return print_users(n) * 11; }

static void flush_cache(void) { zero = *(volatile int*)nothing; }
static int finish(int n) {
  if (n > 0) exit(n);
  return n + 1;
}
static int crash_at_exit(int n) {
  atexit(flush_cache);
  return finish(n) - 5;
}

static const struct {
  const char* name;
  int (*run)(int);
} causes[] = {
    {"null_list", null_list},
    {"double_free", double_free},
    {"heap_underflow", heap_underflow},
    {"failed_assertion", failed_assertion},
    {"plain_abort", plain_abort},
    {"endless_recursion", endless_recursion},
    {"division_by_zero", division_by_zero},
    {"call_of_nothing", call_of_nothing},
    {"truncated_file", truncated_file},
    {"no_name", no_name},
    {"read_only_memory", read_only_memory},
    {"bad_row", bad_row},
    {"crash_in_thread", crash_in_thread},
    {"crash_in_handler", crash_in_handler},
    {"bad_format", bad_format},
    {"crash_at_exit", crash_at_exit},
};

int main(int argc, char** argv) {
  for (size_t i = 0; argc > 1 && i < sizeof(causes) / sizeof(causes[0]); i++) {
    if (strcmp(argv[1], causes[i].name) == 0) return causes[i].run(1) + 1;
  }
  for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) puts(causes[i].name);
  return 0;
}
