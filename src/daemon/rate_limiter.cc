#include "daemon/rate_limiter.h"

#include <algorithm>

namespace telem {
namespace {

int64_t SecondOf(MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

bool SlidingSum::HasRoom(uint64_t promised, uint64_t more, MonotonicTime now) {
  if (IsOff()) return true;
  Forget(now);
  const uint64_t before = sum_ + promised;
  // What is larger than the limit by itself goes alone; else it would wait for ever.
  if (before == 0 && limit_ > 0) return true;
  return before + more <= static_cast<uint64_t>(limit_);
}

void SlidingSum::SetLimit(int64_t limit, std::chrono::minutes window) {
  limit_ = limit;
  window_ = window;
}

void SlidingSum::Count(uint64_t amount, MonotonicTime now) {
  if (IsOff()) return;
  const int64_t second = SecondOf(now);
  if (buckets_.empty() || buckets_.back().second != second) buckets_.push_back({second, 0});
  buckets_.back().amount += amount;
  sum_ += amount;
}

MonotonicTime SlidingSum::NextRoom(MonotonicTime now) const {
  if (IsOff() || buckets_.empty()) return now;
  // The bucket's second must have passed as a whole.
  return MonotonicTime(std::chrono::seconds(buckets_.front().second + 1) + window_);
}

void SlidingSum::Forget(MonotonicTime now) {
  while (!buckets_.empty() && NextRoom(now) <= now) {
    sum_ -= buckets_.front().amount;
    buckets_.pop_front();
  }
}

MonotonicTime RateLimiter::NextRoom(MonotonicTime now) const {
  return std::max(records_.NextRoom(now), bytes_.NextRoom(now));
}

}  // namespace telem
