// CoreForward: hands a core on to a file, as the kernel would have written it had crashprobe not
// taken its place (crash_forward = file): under the pattern that was there, with the rights of the
// user whose process it is, within the process's core limit.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "probes/crash/core_pattern.h"

namespace telem {

class CoreForward {
 public:
  // What is needed of the process, while we have the rights to open it. Nothing is written when the
  // limit of the process is 0 or the pattern is not one of a file. `proc` is /proc/PID.
  static Result<CoreForward> Open(int proc, std::string pattern, CoreFileValues values);

  // In a child, which becomes the user: writes `start` and then all that comes from `rest`.
  // Returns when everything is written, or the kernel has nothing more to give.
  Status Run(const std::string& start, int rest) const;

 private:
  std::string path_;
  UniqueFd folder_;  // the working folder of the process, or its root folder
  CoreFileValues values_;
};

}  // namespace telem
