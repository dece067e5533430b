// ConsentWatch: whether collection is allowed, known at every moment without asking.
//
// The marker files are looked at once, and again when the kernel tells that something happened in
// their folder (inotify), so that a record costs no system call and opting out is seen at once,
// also in the middle of a transfer. The folder may be missing, come later, or be replaced by
// another one. Where the kernel gives no such watch, the files are asked once a round.
#pragma once

#include <optional>

#include "base/event_loop.h"
#include "config/consent.h"

namespace telem {

class ConsentWatch final : private EventLoop::Handler {
 public:
  ConsentWatch(EventLoop& loop, const Settings& settings);
  ~ConsentWatch();

  bool IsGiven() { return Answer() == ConsentAnswer::kGiven; }
  // The same for the moment before something leaves, which may be long after the round began: also
  // what the kernel has to tell and the loop has not fetched yet. Costs a system call.
  bool IsStillGiven();
  // Surely not given: markers that cannot be looked at say nothing.
  bool IsWithheld() { return Answer() == ConsentAnswer::kWithheld; }

  // Looks at the files now; the settings may have changed.
  void Look();

  // Without a watch, the next question is one to the files.
  void StartRound() {
    if (!watch_.valid()) answer_.reset();
  }

 private:
  // Markers that cannot be looked at may be seen again without any event of their folder.
  static constexpr std::chrono::seconds kLookAgain{10};

  ConsentAnswer Answer() {
    if (!answer_) Look();
    return *answer_;
  }
  void OnEvents(uint32_t events) override;
  void Watch();
  void Unwatch();

  EventLoop& loop_;
  const Settings& settings_;
  UniqueFd watch_;
  std::optional<ConsentAnswer> answer_;
  Timer look_again_;
};

}  // namespace telem
