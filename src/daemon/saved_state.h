// SavedState: the little that telemd remembers over a restart, in state_dir/state: its counters,
// and how much of the rate limit is used up. Written whole or not at all; what cannot be read is
// passed over, for nothing that was promised to anybody depends on it.
//
// Lines "KEY VALUE". Lines with other keys are the rate limiter's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "config/settings.h"
#include "daemon/counters.h"

namespace telem {

struct SavedState {
  WallTime counting_since{};  // of the counters
  Counters counters;
  std::optional<WallTime> last_success;

  // When it was saved, for whoever reads it.
  std::string boot_id;
  WallTime wall{};
  MonotonicTime monotonic{};

  std::string limiter_lines;
};

std::string SavedStateFile(const Settings& settings);

std::string FormatSavedState(const SavedState& state);

// Nothing when `text` is no saved state.
std::optional<SavedState> ParseSavedState(std::string_view text);

// How long ago it was saved: by the monotonic clock within one boot, else by the time of day, which
// says at least that no time is negative.
std::chrono::seconds AgeOf(const SavedState& state, std::string_view boot_id, const Clock& clock);

// The counters as the next process starts with them: what reached its last state stays counted,
// what still waits is found again and counted then. So the equation of counters.h holds.
Counters CarryOver(const Counters& saved);

}  // namespace telem
