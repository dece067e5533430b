// RunningProcess: takes a picture of a process that has not crashed, for `crashprobe --explain
// PID`: its threads are stopped for the moment in which their registers are read, and go on.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "probes/crash/crash_evidence.h"

namespace telem {

// Memory and files stay readable as long as the process lives; its stacks may have changed by then,
// so it stays stopped until the evidence goes away.
class RunningProcess {
 public:
  ~RunningProcess();
  RunningProcess(RunningProcess&& other) noexcept = default;
  RunningProcess& operator=(RunningProcess&&) = delete;

  // kDenied where it is not ours to look into, kNotFound where there is none.
  static Result<RunningProcess> Stop(pid_t pid);

  CrashEvidence evidence;

 private:
  RunningProcess() = default;

  std::vector<pid_t> stopped_;
};

}  // namespace telem
