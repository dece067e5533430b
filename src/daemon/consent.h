// Consent: whether collection is allowed, asked of the marker files at most once a round.
//
// A round of the event loop takes a few milliseconds; asking for each record again would be a
// system call each and tell nothing new.
#pragma once

#include <optional>

#include "config/settings.h"

namespace telem {

class Consent {
 public:
  explicit Consent(const Settings& settings) : settings_(settings) {}

  bool IsGiven() {
    if (!answer_) answer_ = IsCollectionAllowed(settings_);
    return *answer_;
  }

  // The next IsGiven() looks again.
  void StartRound() { answer_.reset(); }

 private:
  const Settings& settings_;
  std::optional<bool> answer_;
};

}  // namespace telem
