#include "probes/crash/sample_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace telem {
namespace {

pid_t WaitFor(pid_t pid, int* status, int flags) {
  pid_t changed;
  do {
    changed = ::waitpid(pid, status, flags);
  } while (changed < 0 && errno == EINTR);
  return changed;
}

// Frames of their own in its stack.
[[gnu::noinline]] void StandWhereItFails() {
  ::raise(SIGSTOP);
  // Only a SIGCONT of somebody else's comes here: its parent kills it.
  ::_exit(EXIT_SUCCESS);
}

[[gnu::noinline]] void WorkUntilItFails() {
  StandWhereItFails();
  // Not a call in the last place, which would take the place of this frame.
  ::_exit(EXIT_FAILURE);
}

}  // namespace

Result<SampleProcess> SampleProcess::Start() {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return SystemError("fork", errno);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) WorkUntilItFails();
    ::_exit(EXIT_FAILURE);
  }
  SampleProcess sample(pid);
  int status = 0;
  if (WaitFor(pid, &status, WUNTRACED) != pid) return SystemError("waitpid", errno);
  if (!WIFSTOPPED(status)) {
    sample.pid_ = 0;
    return Fail(ErrorCode::kUnavailable, "the sample process has ended");
  }
  return sample;
}

SampleProcess::SampleProcess(SampleProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}

SampleProcess::~SampleProcess() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  WaitFor(pid_, nullptr, 0);
}

}  // namespace telem
