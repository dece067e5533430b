// CrashAttempt: looks into a crash in a child. The files of a process may lie where opening them
// never ends, such as in a file system that is a program of the user's own; a handler that hangs
// there would keep its turn, and its place among those that the kernel starts, for ever.
#pragma once

#include <functional>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

struct AttemptOutcome {
  enum class End { kDone, kDied, kTooLong };
  End end = End::kDone;
  int code = 0;    // of kDone: the exit code
  int signal = 0;  // of kDied; 0 when it ended in another way
};

class CrashAttempt {
 public:
  // Runs `work` in a child, which ends with the exit code that it returns; it is killed at `end`
  // unless it has called WillEnd(). The caller loses its standard input, so that the child alone
  // holds the process that crashed.
  static Result<AttemptOutcome> Run(const Clock& clock, MonotonicTime end,
                                    const std::function<int(CrashAttempt&)>& work);

  // In the child: what is left to do comes to an end by itself, and must not be done twice.
  void WillEnd();

 private:
  explicit CrashAttempt(UniqueFd progress) : progress_(std::move(progress)) {}

  UniqueFd progress_;
};

}  // namespace telem
