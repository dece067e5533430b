#include "deliver/caller_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace telem {
namespace {

void* WaitForHangUp(void* /*unused*/) {
  // No events asked for: a hang-up and errors are always told (poll(2)).
  pollfd input{.fd = STDIN_FILENO, .events = 0, .revents = 0};
  while (::poll(&input, 1, -1) < 0 && errno == EINTR) {
  }
  // Not by exit(): what is under way is to be dropped, not to be brought to an end.
  ::_exit(0);
}

}  // namespace

Status EndWithCaller() {
  struct stat st;
  if (::fstat(STDIN_FILENO, &st) != 0 || !S_ISSOCK(st.st_mode)) return {};
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int err = ::pthread_create(&thread, &attributes, WaitForHangUp, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (err != 0) return SystemError("start a thread", err);
  return {};
}

}  // namespace telem
