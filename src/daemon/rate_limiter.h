// RateLimiter: how much may go to the server within any window of time.
//
// Pure: the time comes from the caller, and is monotonic, so that no clock change opens or shuts
// the gate. Buckets of a second, so the limit acts at most a second late.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace telem {

// The sum of what was counted within the last `window`.
class SlidingSum {
 public:
  // A `limit` of -1, or a `window` of 0, means no limit.
  SlidingSum(int64_t limit, std::chrono::minutes window) : limit_(limit), window_(window) {}

  // Whether `more` may be counted on top of `promised`, which will be counted before it.
  bool HasRoom(uint64_t promised, uint64_t more, MonotonicTime now);
  void Count(uint64_t amount, MonotonicTime now);

  // A new limit; what was counted stays counted.
  void SetLimit(int64_t limit, std::chrono::minutes window);

  // When the oldest of what was counted leaves the window; `now` when there is nothing.
  MonotonicTime NextRoom(MonotonicTime now) const;

 private:
  struct Bucket {
    int64_t second;
    uint64_t amount;
  };

  bool IsOff() const { return limit_ < 0 || window_.count() == 0; }
  void Forget(MonotonicTime now);

  int64_t limit_;
  std::chrono::minutes window_;
  std::deque<Bucket> buckets_;
  uint64_t sum_ = 0;
};

class RateLimiter {
 public:
  // Without limits.
  RateLimiter() = default;
  RateLimiter(SlidingSum records, SlidingSum bytes)
      : records_(std::move(records)), bytes_(std::move(bytes)) {}

  SlidingSum& records() { return records_; }
  SlidingSum& bytes() { return bytes_; }

  // What has its turn before a record: under way, or waiting.
  struct Promised {
    uint64_t records = 0;
    uint64_t bytes = 0;
  };

  // Whether one record of `bytes` may go out at `now`, after what is promised.
  bool HasRoom(const Promised& promised, uint64_t bytes, MonotonicTime now) {
    return records_.HasRoom(promised.records, 1, now) && bytes_.HasRoom(promised.bytes, bytes, now);
  }

  // One record of `bytes` went out.
  void Count(uint64_t bytes, MonotonicTime now) {
    records_.Count(1, now);
    bytes_.Count(bytes, now);
  }

  // The earliest time at which HasRoom may answer otherwise.
  MonotonicTime NextRoom(MonotonicTime now) const;

 private:
  SlidingSum records_{-1, {}};
  SlidingSum bytes_{-1, {}};
};

}  // namespace telem
