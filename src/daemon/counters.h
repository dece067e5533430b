// Counters: what telemd did since it started. At every moment
//   found + accepted = delivered + waiting + rejected + evicted + expired + local.
#pragma once

#include <cstdint>

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
};

}  // namespace telem
