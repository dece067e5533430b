#include "probes/crash/crash_turn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Interrupts a system call that waits, `after` so long and then again and again: the first time
// may come right before the call.
class Alarm {
 public:
  explicit Alarm(milliseconds after) {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &former_);
    constexpr suseconds_t kAgain = 20'000;  // microseconds
    const auto count = after.count();
    const itimerval timer{{0, kAgain}, {count / 1000, (count % 1000) * 1000 + 1}};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~Alarm() {
    const itimerval none{};
    ::setitimer(ITIMER_REAL, &none, nullptr);
    ::sigaction(SIGALRM, &former_, nullptr);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  struct sigaction former_{};
};

// The folder may belong to a user with fewer rights than ours: no link, no pipe.
Result<UniqueFd> OpenLock(const std::string& path) {
  return OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
}

}  // namespace

std::optional<CrashTurn> CrashTurn::Wait(const std::string& folder, milliseconds patience) {
  const auto end = steady_clock::now() + patience;
  UniqueFd turns[kAtOnce];
  for (int i = 0; i < kAtOnce; ++i) {
    std::string path = folder + "/crashprobe.turn.";
    AppendSigned(path, i);
    auto file = OpenLock(path);
    if (!file) return CrashTurn(UniqueFd());
    turns[i] = std::move(*file);
  }
  // The kernel gives a lock to whoever has waited longest. Only that one looks for a turn, so that
  // a program that crashes on and on is not again and again before another one.
  const auto queue = OpenLock(folder + "/crashprobe.queue");
  if (!queue) return CrashTurn(UniqueFd());
  {
    const Alarm alarm(patience);
    while (::flock(queue->get(), LOCK_EX) != 0) {
      if (errno != EINTR) return CrashTurn(UniqueFd());
      if (steady_clock::now() >= end) return std::nullopt;
    }
  }
  for (;;) {
    for (UniqueFd& turn : turns) {
      if (::flock(turn.get(), LOCK_EX | LOCK_NB) == 0) return CrashTurn(std::move(turn));
    }
    if (steady_clock::now() >= end) return std::nullopt;
    constexpr int kLook = 2;  // milliseconds
    ::poll(nullptr, 0, kLook);
  }
}

}  // namespace telem
