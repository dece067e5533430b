// RateLimiter: how much may go to the server within any window of time, and how much of that one
// uid may use.
//
// Pure: the time comes from the caller, and is monotonic, so that no clock change opens or shuts
// the gate. Buckets of a second, so the limit acts at most a second late.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

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

  // Whether nothing of what was counted is within the window any more.
  bool IsEmpty(MonotonicTime now) const;

  // What is in the window, as "AGO:AMOUNT AGO:AMOUNT ...", AGO in seconds before `now`, oldest
  // first; at most kMaxSaved of them. Where there are more, several count as if they had come with
  // the last of them: a restored sum never has room earlier.
  std::string Save(MonotonicTime now) const;
  // Takes what Save() gave up `passed` before `now`, in addition to what is there already, all of
  // which must be younger. What does not look like that is passed over.
  void Restore(std::string_view text, std::chrono::seconds passed, MonotonicTime now);

 private:
  static constexpr size_t kMaxSaved = 128;

  struct Bucket {
    int64_t second;
    uint64_t amount;
  };

  bool IsOff() const { return limit_ < 0 || window_.count() == 0; }
  // When it leaves the window: its second must have passed as a whole.
  MonotonicTime EndOf(const Bucket& bucket) const {
    return MonotonicTime(std::chrono::seconds(bucket.second + 1) + window_);
  }
  void Forget(MonotonicTime now);

  int64_t limit_;
  std::chrono::minutes window_;
  std::deque<Bucket> buckets_;
  uint64_t sum_ = 0;
};

class RateLimiter {
 public:
  // What a limit is for the records of all, and for those of one uid.
  struct Limits {
    int64_t records = -1;  // within the window of records; -1: no limit
    int64_t bytes = -1;    // likewise
    std::chrono::minutes record_window{0};
    std::chrono::minutes byte_window{0};
  };

  // Without limits.
  RateLimiter() = default;
  explicit RateLimiter(const Limits& limits) { SetLimits(limits); }

  // What was counted stays counted.
  void SetLimits(const Limits& limits);

  // What has its turn before a record: under way, or waiting.
  struct Promised {
    uint64_t records = 0;
    uint64_t bytes = 0;
  };

  // Whether one record of `bytes` may go out at `now`, after what is promised to all.
  bool HasRoom(const Promised& promised, uint64_t bytes, MonotonicTime now);
  // The same for the half that one uid may use; `promised` is what is promised to this uid. A uid
  // that is privileged (shares.h) may use all.
  bool HasRoomFor(uid_t uid, const Promised& promised, uint64_t bytes, MonotonicTime now);

  // One record of `bytes` went out.
  void Count(uid_t uid, uint64_t bytes, MonotonicTime now);

  // Where HasRoom says no, the earliest time at which it may answer otherwise; else `now`.
  MonotonicTime NextRoom(const Promised& promised, uint64_t bytes, MonotonicTime now);
  MonotonicTime NextRoomFor(uid_t uid, const Promised& promised, uint64_t bytes, MonotonicTime now);

  // What is in the windows, as lines of text for a file, so that a restart opens no gate. Restore
  // takes them `passed` later and does not mind lines that are not its own.
  std::string Save(MonotonicTime now) const;
  void Restore(std::string_view text, std::chrono::seconds passed, MonotonicTime now);

 private:
  // So many uids have windows of their own; all others share one, and one half.
  static constexpr size_t kMaxUids = 64;
  static constexpr uid_t kOthers = static_cast<uid_t>(-1);  // never a user's (chown(2))

  struct Windows {
    SlidingSum records{-1, {}};
    SlidingSum bytes{-1, {}};

    bool HasRoom(const Promised& promised, uint64_t more, MonotonicTime now) {
      return records.HasRoom(promised.records, 1, now) && bytes.HasRoom(promised.bytes, more, now);
    }
    MonotonicTime NextRoom(const Promised& promised, uint64_t more, MonotonicTime now);
  };

  Windows* FindWindows(uid_t uid);
  Windows& EnsureWindows(uid_t uid, MonotonicTime now);
  void SetShare(Windows& windows) const;

  Limits limits_;
  Windows all_;
  std::map<uid_t, Windows> by_uid_;
};

}  // namespace telem
