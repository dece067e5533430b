// Clock: the two times that programs need, handed in so that tests can move them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace telem {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

class Clock {
 public:
  virtual ~Clock() = default;

  // Time of day; may jump either way.
  virtual WallTime Now() const = 0;

  // Never goes back; its zero means nothing. Whether it goes on while the machine sleeps depends on
  // the clock: see below.
  virtual MonotonicTime Monotonic() const = 0;
};

// Seconds since the epoch, as files and programs tell them.
inline int64_t EpochSeconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// The time of day at `when`, as far as it can be told; `when` is not in the past, or counts as now.
inline WallTime WallTimeAt(const Clock& clock, MonotonicTime when) {
  const auto left =
      std::max<std::chrono::nanoseconds>(when - clock.Monotonic(), std::chrono::nanoseconds(0));
  return clock.Now() + std::chrono::duration_cast<std::chrono::milliseconds>(left);
}

// For what a process does meanwhile: its monotonic time stands still while the machine sleeps.
class SystemClock : public Clock {
 public:
  WallTime Now() const override;
  MonotonicTime Monotonic() const override;
};

// For what lasts longer: its monotonic time goes on while the machine sleeps, as the time of day
// does. So waking up is not taken for a clock that was set, and what waited grew older.
class SleepCountingClock final : public SystemClock {
 public:
  MonotonicTime Monotonic() const override;
};

// Stands still until it is told to move.
class FakeClock final : public Clock {
 public:
  WallTime Now() const override { return wall_; }
  MonotonicTime Monotonic() const override { return monotonic_; }

  void Advance(std::chrono::nanoseconds by) {
    monotonic_ += by;
    wall_ += std::chrono::duration_cast<std::chrono::milliseconds>(by);
  }
  // What an administrator or a time server does: only the time of day jumps.
  void SetWall(WallTime now) { wall_ = now; }

 private:
  WallTime wall_{std::chrono::seconds(1'795'445'503)};
  MonotonicTime monotonic_{std::chrono::hours(1)};
};

}  // namespace telem
