// SdNotify: tells systemd how this service is, by the protocol of sd_notify(3), without its
// library.
//
// A process that systemd does not ask to tell anything tells nothing: every call is right anywhere.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace telem {

// The variable's value, empty where it is not set, and not set from here on: what a service manager
// told this process is not for its children. Before there are threads.
std::string TakeVariable(const char* name);

class SdNotify {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child
  // takes them for its own. Before there are threads.
  static SdNotify FromEnvironment();

  // Whether anybody listens.
  bool IsAsked() const { return !address_.empty(); }

  // How often WATCHDOG=1 is due: half of the time after which systemd takes the service for hung.
  std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_interval_; }

  // The service takes work from here on; after Reloading() too.
  void Ready() { Send("READY=1"); }
  // Started to read its configuration again, at `now` (CLOCK_MONOTONIC).
  void Reloading(MonotonicTime now);
  void Stopping() { Send("STOPPING=1"); }
  void Ping() { Send("WATCHDOG=1"); }
  // One sentence for `systemctl status`; control characters become `?`.
  void SetStatus(std::string_view sentence);

 private:
  void Send(std::string_view lines);

  std::string address_;  // as sockaddr_un holds it: a path, or NUL and an abstract name
  UniqueFd socket_;
  std::optional<std::chrono::microseconds> watchdog_interval_;
};

}  // namespace telem
