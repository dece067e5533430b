// Sandbox: does work on hostile bytes in a child process that can do nothing else. The child has no
// file system, network or other processes, only the descriptors that it is given: it may compute,
// read them, hand text to its parent, and ask it for more descriptors. It is ended when it takes
// too long or too much memory. What it handed over before its end is not lost.
//
//   Sandbox sandbox;
//   sandbox.Start(limits, kept, [&](SandboxLink& link) { … link.Emit(text); … });
//   … what the parent does as the user it was, then gives up …
//   SandboxOutcome outcome = sandbox.Wait([&](std::string_view request) { … return fd; });
//
// sandbox_test.cc tries to get out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

struct SandboxLimits {
  // A crash is told within 5.2 s whatever happens; the rest is for what comes before and behind the
  // child, on a machine that is busy.
  std::chrono::milliseconds time{4500};
  size_t memory = size_t{96} * 1024 * 1024;  // that is not a file's
  size_t text = size_t{256} * 1024;          // of one Emit()
  // Whom a child of root becomes.
  uid_t uid = 65534;
  gid_t gid = 65534;
};

enum class SandboxEnd { kDone, kKilled, kTooLong, kTooMuchMemory };

struct SandboxOutcome {
  SandboxEnd end = SandboxEnd::kDone;
  int signal = 0;                  // of kKilled
  std::vector<std::string> texts;  // each Emit() that came whole
};

// What the child has of the world.
class SandboxLink {
 public:
  explicit SandboxLink(int socket) : socket_(socket) {}
  void Emit(std::string_view text);
  // Invalid where the parent does not hand it out. `request` is at most 4 KiB.
  UniqueFd Ask(std::string_view request);

 private:
  int socket_;
};

class Sandbox {
 public:
  Sandbox() = default;
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // Starts the child; `kept` are the descriptors that it keeps. A child that could not be closed in
  // does no work.
  Status Start(const SandboxLimits& limits, std::vector<int> kept,
               const std::function<void(SandboxLink&)>& work);

  // Answers its requests until it ends, or until `is_enough` says so of a text.
  SandboxOutcome Wait(const Clock& clock, const std::function<UniqueFd(std::string_view)>& answer,
                      const std::function<bool(const std::string&)>& is_enough = nullptr);

  pid_t pid() const { return pid_; }

 private:
  void Kill();
  bool HasEnded(SandboxOutcome& outcome);
  bool UsesTooMuchMemory() const;

  SandboxLimits limits_;
  UniqueFd socket_;
  pid_t pid_ = -1;
};

}  // namespace telem
