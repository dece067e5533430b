#include "probes/crash/crash_attempt.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/files.h"

namespace telem {
namespace {

AttemptOutcome OutcomeOf(int status) {
  AttemptOutcome outcome;
  if (WIFEXITED(status)) {
    outcome.code = WEXITSTATUS(status);
  } else {
    outcome.end = AttemptOutcome::End::kDied;
    outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  return outcome;
}

bool HasEnded(pid_t pid, int flags, int& status) {
  pid_t ended;
  do {
    ended = ::waitpid(pid, &status, flags);
  } while (ended < 0 && errno == EINTR);
  return ended == pid;
}

}  // namespace

void CrashAttempt::WillEnd() {
  if (!progress_.valid()) return;
  // The parent waits for it or for our end; without the word it only waits less long.
  static_cast<void>(WriteAll(progress_.get(), "."));
  progress_.Reset();
}

Result<AttemptOutcome> CrashAttempt::Run(const Clock& clock, MonotonicTime end,
                                         const std::function<int(CrashAttempt&)>& work) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return SystemError("pipe", errno);
  UniqueFd from(pipe[0]);
  UniqueFd to(pipe[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return SystemError("fork", errno);
  if (pid == 0) {
    from.Reset();
    CrashAttempt attempt(std::move(to));
    ::_exit(work(attempt));
  }
  to.Reset();
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing.valid()) {
    ::dup2(nothing.get(), STDIN_FILENO);
  } else {
    ::close(STDIN_FILENO);
  }

  constexpr int kLook = 20;  // milliseconds; its word and its end are noticed at once
  int status = 0;
  while (clock.Monotonic() < end) {
    pollfd ready{from.get(), POLLIN, 0};
    const bool is_told = ::poll(&ready, 1, kLook) > 0;
    char word;
    if (is_told && ::read(from.get(), &word, 1) == 1) {
      if (!HasEnded(pid, 0, status)) return SystemError("waitpid", errno);
      return OutcomeOf(status);
    }
    if (HasEnded(pid, is_told ? 0 : WNOHANG, status)) return OutcomeOf(status);
  }
  ::kill(pid, SIGKILL);
  // Whatever holds it up, we are not held up.
  HasEnded(pid, WNOHANG, status);
  return AttemptOutcome{.end = AttemptOutcome::End::kTooLong};
}

}  // namespace telem
