// RecordId: names a record from the moment a daemon has taken it over.
//
// 48 bits of milliseconds since the epoch, then 80 random bits; written as 32 lower-case hex
// digits. So ids sort by time, in the spool and in a database's index.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace telem {

inline constexpr size_t kHexIdSize = 32;

struct RecordId {
  std::array<unsigned char, 16> bytes{};

  auto operator<=>(const RecordId&) const = default;

  // 32 lower-case hex digits.
  std::string ToHex() const;

  // The time that the id was made from.
  WallTime Time() const;
};

// A fresh id for a record that came in at `now`.
RecordId MakeRecordId(WallTime now);

// Makes the ids of one run of a daemon: each sorts behind the one before, also within a millisecond
// and when the clock is set back a little. Then an id's time is that of the id before, until the
// clock has come up to it again; a record's true time is in its journal line.
class RecordIdSource {
 public:
  // A clock that is set back by more was wrong before, and ids follow it: else those of this run
  // would tell the wrong time for good.
  static constexpr std::chrono::minutes kMostAhead{1};

  RecordId Next(WallTime now);

 private:
  RecordId last_{};
};

// Exactly 32 lower-case hex digits.
std::optional<RecordId> ParseRecordId(std::string_view hex);

}  // namespace telem
