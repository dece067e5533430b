// CorePattern: makes the kernel call crashprobe for every crash, and puts back what was there.
//
// Two settings of the whole machine are changed, kernel.core_pattern and kernel.core_pipe_limit;
// what they were is kept in state_dir/core_pattern until Restore(). Never in a container or chroot:
// there the settings are the host's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace telem {

inline constexpr char kCoreSocket[] = "/run/telemetry/core";

class CorePattern {
 public:
  // `kernel` is /proc/sys/kernel, `program` crashprobe as the kernel shall call it (its path, and
  // maybe options), `socket` where a service may wait for cores (kCoreSocket).
  CorePattern(std::string kernel, std::string program, std::string socket, const Settings& settings)
      : kernel_(std::move(kernel)),
        program_(std::move(program)),
        socket_(std::move(socket)),
        settings_(settings) {}

  // Repeating it changes nothing, and a failure leaves everything as it was. kBusy where
  // systemd-coredump has it and shall keep it.
  Status SetUp();

  // Why the last SetUp() took less than the best, a sentence each.
  const std::vector<std::string>& refused() const { return refused_; }

  // Puts back what SetUp() found, or where nobody knows that any more, what the kernel begins with.
  // Nothing to do where the pattern is none of ours: it was never set up, or somebody else has
  // changed it since.
  Status Restore();

  // The pattern that was there before, empty where there was none or it was not set up.
  static std::string Former(const Settings& settings);

 private:
  // The patterns that would do, the best first.
  std::vector<std::string> Wanted() const;
  Result<std::string> Read(const char* name) const;
  Status Write(const char* name, std::string_view value) const;

  std::string kernel_;
  std::string program_;
  std::string socket_;
  const Settings& settings_;
  std::vector<std::string> refused_;
};

// Whether this process sees a kernel that is not its own: a container, or a chroot.
bool IsInContainerOrChroot();

// The name of a core file for `pattern`, as the kernel makes it (core(5)). `%` and what is not
// known become nothing, as there.
struct CoreFileValues {
  bool uses_pid = false;  // kernel.core_uses_pid
  long long pid = 0;
  long long inner_pid = 0;  // in its own pid namespace
  long long tid = 0;
  long long inner_tid = 0;
  unsigned long long uid = 0;
  unsigned long long gid = 0;
  unsigned long long time = 0;
  unsigned long long limit = 0;
  int dump_mode = 0;
  int signal = 0;
  std::string name;
  std::string exe;
  std::string host;
};
std::string ExpandCorePattern(std::string_view pattern, const CoreFileValues& values);

}  // namespace telem
