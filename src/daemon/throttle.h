// Throttle: work that follows changes, but not each of them: a second after the first of several,
// and not again before an interval is over. Nothing happens while nothing changes.
#pragma once

#include <algorithm>
#include <functional>

#include "base/event_loop.h"

namespace telem {

class Throttle {
 public:
  Throttle(EventLoop& loop, std::chrono::seconds interval, std::function<void()> work)
      : loop_(loop), interval_(interval), timer_(loop, [this, work = std::move(work)] {
          not_before_ = loop_.clock().Monotonic() + interval_;
          work();
        }) {}

  // Something has changed.
  void Touch() {
    if (timer_.IsSet()) return;
    timer_.SetAt(std::max(loop_.clock().Monotonic() + kDelay, not_before_));
  }

 private:
  static constexpr std::chrono::seconds kDelay{1};

  EventLoop& loop_;
  const std::chrono::seconds interval_;
  MonotonicTime not_before_{};
  Timer timer_;
};

}  // namespace telem
