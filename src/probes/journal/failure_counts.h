// FailureCounts: a unit that fails again and again is told in full a few times an hour, and then
// only counted.
//
// A pure table. It is kept in one file with the position in the journal (JournalState), so that
// what was counted and what was read cannot come apart.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace telem {

struct HeldFailures {
  std::string unit;
  uint64_t count = 0;
  int64_t hour = 0;  // when the first failure of their hour was told, seconds since the epoch
};

class FailureCounts {
 public:
  static constexpr size_t kFullAnHour = 10;
  // A machine has some hundred units. Of more than this, those that failed longest ago are
  // forgotten.
  static constexpr size_t kMaxUnits = 512;

  enum class Telling {
    kInFull,
    kCounted,     // one of too many in this hour
    kToldBefore,  // of a failure that was told or counted
  };

  // How a failure of `unit` at `now` is told. `failure`: as JournalFinding. In full: `held` is how
  // many were only counted before it; they are told with it and forgotten here.
  Telling Judge(std::string_view unit, std::string_view failure, WallTime now, uint64_t& held);

  // When the next counts are due: an hour after the last failure that was told in full.
  std::optional<WallTime> NextDue() const;
  // Those of one unit that are due at `now`, and are forgotten here; nothing when none are.
  std::optional<HeldFailures> TakeDue(WallTime now);

  // One line a unit. Load() passes over lines that cannot be read.
  std::string Save() const;
  static FailureCounts Load(std::string_view text);

 private:
  struct Entry {
    std::string unit;
    // The last two: behind the start that was one too many, systemd tells once more how the last
    // one ended.
    std::array<std::string, 2> failures;
    uint64_t held = 0;
    std::vector<int64_t> told;  // seconds since the epoch, oldest first
  };
  Entry& Find(std::string_view unit);

  std::vector<Entry> entries_;  // the one used last is at the end
};

}  // namespace telem
