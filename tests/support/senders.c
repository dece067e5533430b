// Processes that send records, as fast as they are answered or with pauses.
//
//   senders PREFIX PROCESSES SECONDS BYTES PAUSE [CONFIG]
//
// PREFIX: 16 hex digits, the front of all event ids. BYTES: of each payload. PAUSE: milliseconds
// behind each send, up to two and a half times as many by turns; 0: none. Prints a line for each
// send: event id, what tm_send_record() returned, the microseconds until it did, and how many of
// these the process could have run and no processor was free for it: that is the machine's doing.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "telemetry.h"

struct Send {
  int result;
  int64_t microseconds;
  int64_t without_processor;
};

enum { kMaxSends = 20000 };

// Lies in memory that all processes share.
struct Sender {
  int number;
  size_t count;
  struct Send sends[kMaxSends];
};

static const char* prefix;
static char* payload;
static int64_t pause_time;  // microseconds
static int64_t end;

static int64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

// Microseconds that this process has waited for a processor so far
// (Documentation/scheduler/sched-stats of the kernel); 0 where the kernel does not count them.
static int64_t WaitedForProcessor(int schedstat) {
  char text[96];
  const ssize_t n = pread(schedstat, text, sizeof text - 1, 0);
  unsigned long long ran = 0;
  unsigned long long waited = 0;
  if (n <= 0) return 0;
  text[n] = '\0';
  return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? (int64_t)(waited / 1000) : 0;
}

static void WriteId(char id[33], int sender, size_t send) {
  snprintf(id, 33, "%.16s%08x%08x", prefix, (unsigned)sender, (unsigned)send);
}

// No two pauses of a process in a row are the same, nor those of two processes at the same time.
static void Pause(int sender, size_t send) {
  if (pause_time == 0) return;
  const int64_t more = (int64_t)((sender * 7 + send * 3) % 16) * pause_time * 3 / 32;
  const int64_t left = end - Now();
  const int64_t time = pause_time + more < left ? pause_time + more : left;
  if (time > 0) usleep((useconds_t)time);
}

static void SendUntilEnd(struct Sender* sender) {
  const int schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
  while (sender->count < kMaxSends && Now() < end) {
    struct telem_ref* ref = NULL;
    char id[33];
    WriteId(id, sender->number, sender->count);
    if (tm_create_record(&ref, 2, "org.example/ceiling/test", 1) != 0 ||
        tm_set_event_id(ref, id) != 0 || tm_set_payload(ref, payload) != 0) {
      fprintf(stderr, "senders: cannot make a record\n");
      exit(1);
    }
    const int64_t waited = WaitedForProcessor(schedstat);
    const int64_t start = Now();
    const int result = tm_send_record(ref);
    const int64_t took = Now() - start;
    sender->sends[sender->count++] =
        (struct Send){result, took, WaitedForProcessor(schedstat) - waited};
    tm_free_record(ref);
    Pause(sender->number, sender->count);
  }
}

int main(int argc, char** argv) {
  if (argc < 6 || argc > 7 || strlen(argv[1]) != 16) return 2;
  if (argc == 7 && tm_set_config_file(argv[6]) != 0) return 2;
  prefix = argv[1];
  const int processes = atoi(argv[2]);
  const size_t bytes = strtoul(argv[4], NULL, 10);
  pause_time = atoi(argv[5]) * INT64_C(1000);
  payload = malloc(bytes + 1);
  memset(payload, 'x', bytes);
  payload[bytes] = '\0';
  end = Now() + atoi(argv[3]) * INT64_C(1000000);
  struct Sender* const senders = mmap(NULL, processes * sizeof *senders, PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (senders == MAP_FAILED) return 1;
  for (int i = 0; i < processes; ++i) {
    senders[i].number = i;
    const pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid == 0) {
      SendUntilEnd(&senders[i]);
      _exit(0);
    }
  }
  int status = 0;
  while (wait(&status) > 0) {
    if (status != 0) return 1;
  }
  for (int i = 0; i < processes; ++i) {
    for (size_t n = 0; n < senders[i].count; ++n) {
      char id[33];
      WriteId(id, i, n);
      const struct Send send = senders[i].sends[n];
      printf("%s %d %lld %lld\n", id, send.result, (long long)send.microseconds,
             (long long)send.without_processor);
    }
  }
  return 0;
}
