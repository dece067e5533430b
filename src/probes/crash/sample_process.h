// SampleProcess: a child that stands where a program stands that calls abort(3), for crashprobe
// --sample. It does not crash: whoever takes the crashes of this machine hears nothing of it.
#pragma once

#include <sys/types.h>

#include "base/result.h"

namespace telem {

class SampleProcess {
 public:
  // Returns when it stands there. It ends with the object, and with us.
  static Result<SampleProcess> Start();
  SampleProcess(SampleProcess&& other) noexcept;
  SampleProcess& operator=(SampleProcess&&) = delete;
  ~SampleProcess();

  pid_t pid() const { return pid_; }

 private:
  explicit SampleProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

}  // namespace telem
