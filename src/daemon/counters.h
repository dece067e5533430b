// Counters: what telemd did since it began to count; a restart does not begin anew (saved_state.h).
// At every moment
//   found + accepted = delivered + waiting + rejected + evicted + expired + local.
#pragma once

#include <cstdint>
#include <iterator>
#include <string_view>

namespace telem {

struct Counters {
  // At the door.
  uint64_t frames = 0;
  uint64_t refused_malformed = 0;
  uint64_t refused_too_large = 0;
  uint64_t refused_spool_full = 0;
  uint64_t refused_opted_out = 0;
  uint64_t refused_io_error = 0;
  uint64_t closed_incomplete = 0;  // connections that ended within a frame

  // Records.
  uint64_t found = 0;  // in the spool, at start
  uint64_t accepted = 0;
  uint64_t delivered = 0;
  uint64_t rejected = 0;
  uint64_t dropped = 0;  // over the rate limit, and the sender knows; these are not among accepted
  uint64_t evicted = 0;
  uint64_t expired = 0;
  uint64_t local = 0;

  bool operator==(const Counters&) const = default;
};

// Their names, in the file that remembers them and for telemctl.
struct CounterName {
  std::string_view name;
  uint64_t Counters::* member;
};

inline constexpr CounterName kCounterNames[] = {
    {"frames", &Counters::frames},
    {"refused_malformed", &Counters::refused_malformed},
    {"refused_too_large", &Counters::refused_too_large},
    {"refused_spool_full", &Counters::refused_spool_full},
    {"refused_opted_out", &Counters::refused_opted_out},
    {"refused_io_error", &Counters::refused_io_error},
    {"closed_incomplete", &Counters::closed_incomplete},
    {"found", &Counters::found},
    {"accepted", &Counters::accepted},
    {"delivered", &Counters::delivered},
    {"rejected", &Counters::rejected},
    {"dropped", &Counters::dropped},
    {"evicted", &Counters::evicted},
    {"expired", &Counters::expired},
    {"local", &Counters::local},
};
static_assert(sizeof(Counters) == std::size(kCounterNames) * sizeof(uint64_t), "one has no name");

}  // namespace telem
