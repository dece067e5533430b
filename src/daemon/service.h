// Service: what telemd tells systemd while it runs: that it serves, that it is alive, and one
// sentence on how things are. Costs nothing where systemd did not start it.
#pragma once

#include <functional>
#include <string>

#include "base/sd_notify.h"
#include "daemon/throttle.h"

namespace telem {

class Service {
 public:
  // `describe` makes the sentence.
  Service(EventLoop& loop, SdNotify notify, std::function<std::string()> describe);

  // It takes records from here on, and pings the watchdog: from the loop, so that a loop that hangs
  // is seen.
  void Ready();
  // By the clock that systemd compares with, which is not that of the loop.
  void Reloading() { notify_.Reloading(std::chrono::steady_clock::now()); }
  void Reloaded();
  void Stopping() { notify_.Stopping(); }

  // The sentence may be another one now.
  void Touch() {
    if (notify_.IsAsked()) sentence_due_.Touch();
  }

 private:
  // systemd wakes up for each sentence, so it is none for each record.
  static constexpr std::chrono::seconds kSentenceInterval{10};

  void Ping();
  void TellSentence();

  SdNotify notify_;
  std::function<std::string()> describe_;
  std::string sentence_;
  Timer ping_due_;
  Throttle sentence_due_;
};

}  // namespace telem
