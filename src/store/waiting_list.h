// WaitingList: who has how much in the spool, and whose record goes next.
//
// Each uid that has records there is a holder, with what it holds and its waiting records by
// severity and age. So one uid's records can be held back without holding up anybody else's, no uid
// gets more than its share, and a full spool knows what to give up first. What was tried and failed
// waits apart, by the time of its next attempt. Memory: 35 bytes a waiting record, 48 one that
// failed, and at most kMaxHolders holders of some 3 KiB; uids beyond that count are one holder
// together, so a sender with a thousand uids gains nothing by them.
//
// Only memory; the files are the Spool's.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "record/spool_file.h"

namespace telem {

// A record whose file lies in the spool.
struct WaitingRecord {
  SpoolFileName name;
  // Since when it waits, in seconds of the monotonic clock: no change of the time of day makes it
  // older or younger. Before this boot for one that was found at start.
  int32_t since = 0;
  uint32_t size : 20 = 0;     // bytes of its file, the newline behind the payload included
  uint32_t severity : 3 = 0;  // 0: not known; the file says it
  uint32_t holder : 8 = 0;    // whose it is (WaitingList)

  void SetSize(uint64_t bytes) { size = static_cast<uint32_t>(bytes) & 0xfffffU; }
  void SetSeverity(unsigned value) { severity = value & 7U; }

  const RecordId& id() const { return name.id; }
  // As spool_max_size counts, of 4 KiB.
  uint32_t blocks() const { return (size + 4095) / 4096; }
  // Headers and payload.
  uint32_t bytes() const { return size - 1; }
};
static_assert(sizeof(WaitingRecord) == 32 && kMaxSpoolFile < 1 << 20);

// `time` as WaitingRecord::since counts.
inline int32_t WaitingSeconds(MonotonicTime time) {
  return static_cast<int32_t>(
      std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count());
}

// What is in the spool: of all, or of one holder. A record counts from the moment its file is there
// until it has its last state.
struct Held {
  uint64_t records = 0;
  uint64_t bytes = 0;   // headers and payload
  uint64_t blocks = 0;  // of 4 KiB
};

class WaitingList {
 public:
  static constexpr size_t kMaxHolders = 64;

  // `privileged` uids are holders of their own whatever happens.
  explicit WaitingList(std::initializer_list<uid_t> privileged);

  // Counts a record, and notes whose it is. It does not wait yet.
  void Count(WaitingRecord& record);
  // It has its last state.
  void Uncount(const WaitingRecord& record);

  // Lets it wait where its age puts it.
  void Add(const WaitingRecord& record);

  // A record that failed, and when it may be tried again.
  struct Deferred {
    WaitingRecord record;
    uint32_t failures = 0;
    MonotonicTime not_before{};
  };
  static_assert(sizeof(Deferred) <= 48);
  void Defer(const Deferred& deferred);
  // The one that could have been tried again first, if that is so at `now`.
  std::optional<Deferred> TakeDue(MonotonicTime now);
  std::optional<MonotonicTime> NextDue() const;
  // They wait like all others.
  void ForgetFailures();
  // Those that have waited since before `since`. Looks at each.
  std::vector<WaitingRecord> TakeDeferredBefore(int32_t since);

  // Of all that wait and did not fail. Costs the same however many these are.
  const WaitingRecord* Oldest() const;
  // Since when the oldest of all waits. Looks at each that failed.
  std::optional<int32_t> OldestSince() const;

  // Takes the oldest; with `now`, of those whose holder is not held back then. With `known_only`
  // none whose severity is not known.
  std::optional<WaitingRecord> TakeOldest(std::optional<MonotonicTime> now, bool known_only);
  bool HasReady(MonotonicTime now, bool known_only) const;

  // The records of this one's holder wait until then; Release lets them go.
  void HoldBack(const WaitingRecord& record, MonotonicTime until);
  void Release(const WaitingRecord& record);
  bool IsHeldBack(const WaitingRecord& record, MonotonicTime now) const {
    return holders_[record.holder].held_back_until > now;
  }
  // Nobody is held back, and what failed may be tried again at once.
  void ReleaseAll();
  // When the first of those that are held back at `now` may go.
  std::optional<MonotonicTime> NextRelease(MonotonicTime now) const;

  // The oldest of the holder's records whose severity is not known, for its caller to find it out
  // and Add() it again.
  std::optional<WaitingRecord> TakeUnknown(size_t holder);
  // What of the holder's is given up first: the lowest severity, there the oldest. Looks at each
  // that failed.
  std::optional<WaitingRecord> TakeLeast(size_t holder);
  // The one with this id, if it waits. Looks at each.
  std::optional<WaitingRecord> Find(const RecordId& id) const;
  std::optional<WaitingRecord> Take(const RecordId& id);
  std::optional<Deferred> FindDeferred(const RecordId& id) const;
  void ForEach(const std::function<void(const WaitingRecord&)>& tell) const;

  // Who holds most of those that have something waiting; in doubt not a privileged one.
  std::optional<size_t> FindLargest() const;

  size_t HolderOf(uid_t uid) const;
  const Held& held(size_t holder) const { return holders_[holder].held; }
  uint64_t waiting_blocks(size_t holder) const { return holders_[holder].waiting_blocks; }
  const Held& held() const { return held_; }
  uint64_t waiting_blocks() const { return waiting_blocks_; }
  size_t size() const { return size_; }

 private:
  // Never a user's (chown(2)).
  static constexpr uid_t kOthers = static_cast<uid_t>(-1);

  // The oldest first. A heap in pieces: nothing is copied when it grows, and the memory goes as
  // the records go. Records that come in the order of their age cost no comparison but one.
  class ByAge {
   public:
    bool empty() const { return !records_; }
    const WaitingRecord& oldest() const { return records_->front(); }
    void Push(const WaitingRecord& record);
    WaitingRecord Pop();
    bool Erase(const RecordId& id);
    const std::optional<std::deque<WaitingRecord>>& all() const { return records_; }

   private:
    std::optional<std::deque<WaitingRecord>> records_;  // none while it is empty
  };
  struct Holder {
    uid_t uid = kOthers;
    Held held = {};
    uint64_t waiting_blocks = 0;
    MonotonicTime held_back_until{};
    std::array<ByAge, 5> by_severity = {};  // 0: not known
  };
  struct Place {
    size_t holder;
    size_t severity;
  };

  size_t EnsureHolder(uid_t uid);
  std::optional<Place> FindOldest(std::optional<MonotonicTime> now, bool known_only) const;
  WaitingRecord Take(Place place);
  void StopWaiting(const WaitingRecord& record);

  std::vector<Holder> holders_;  // all others, the privileged ones, then anybody
  size_t privileged_end_;
  std::deque<Deferred> deferred_;  // a heap: the first to be tried again is at the front
  Held held_;
  uint64_t waiting_blocks_ = 0;
  size_t size_ = 0;
};

}  // namespace telem
