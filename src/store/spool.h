// Spool: the records that wait for their delivery, one file each, so that they survive whatever
// kills the daemon.
//
// The life of a record: Put() makes its file (whole or not at all) and counts it. Whoever is to
// deliver it owns the WaitingRecord from then on: he lets it wait (Append), takes the oldest
// (TakeOldest), and in the end says Settle(), from which on it counts no more, and Remove() or
// Reject(). Files found at start come in by ScanSome(). One thread; the folder is locked against a
// second daemon for as long as the object lives.
//
// Memory: that of WaitingList. No call costs more with more records waiting.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "record/spool_file.h"
#include "store/rejected_folder.h"
#include "store/waiting_list.h"

namespace telem {

class Spool {
 public:
  // Opens and locks `folder`; `rejected_folder` is made when it is first needed. kBusy when another
  // daemon has the lock. Root and this process's own user are privileged (WaitingList).
  static Result<Spool> Open(const Clock& clock, const std::string& folder,
                            const std::string& rejected_folder);

  Spool(Spool&&) noexcept = default;
  Spool& operator=(Spool&&) noexcept = default;

  // Writes the record's file. It is there, whole, when this returns a value; nothing is there when
  // it does not. It survives a power cut once the file system is synced (SpoolSyncer).
  Result<WaitingRecord> Put(const SpoolFileName& name, unsigned severity,
                            std::string_view header_text, std::string_view payload);

  // Takes the file `rejected_name` of `size` bytes back from the rejected ones, as the record
  // `name`, which is as old as its id says. Whoever calls has looked at what is in it.
  Result<WaitingRecord> TakeBack(const std::string& rejected_name, const SpoolFileName& name,
                                 size_t size);
  // WaitingRecord::since of one that came then.
  int32_t SinceOf(WallTime time) const;
  // The clock was set: the file gets the time at which its record came, as the clock tells it now.
  // Else it would be as much too old, or too young, for the next daemon.
  Status Restamp(const WaitingRecord& record) const;
  // Of all that wait.
  void ForEachWaiting(const std::function<void(const WaitingRecord&)>& tell) const {
    list_.ForEach(tell);
  }

  // How much may lie there, in KiB: of all, and of the uid in question. -1: no limit.
  struct Bounds {
    int64_t max_kib = -1;
    int64_t uid_max_kib = -1;
  };
  // Whether a record of `uid` with `bytes` of headers and payload has room.
  bool HasRoom(uid_t uid, size_t bytes, const Bounds& bounds) const;
  // One record that goes so that it has: of `uid` itself when that has its share, else of whoever
  // holds most; the lowest severity first, then the oldest. Nothing when there is room, or when
  // none could be made by all that wait. Records that were found at start say their severity only
  // in their files: so many of them are read at each call that all are known soon.
  std::optional<WaitingRecord> TakeForRoom(uid_t uid, size_t bytes, const Bounds& bounds);

  // Lets the record wait.
  void Append(const WaitingRecord& record) { list_.Add(record); }
  // Lets it wait for its next attempt.
  void Defer(const WaitingList::Deferred& deferred) { list_.Defer(deferred); }
  std::optional<WaitingList::Deferred> TakeDue(MonotonicTime now) { return list_.TakeDue(now); }
  std::optional<MonotonicTime> NextDue() const { return list_.NextDue(); }
  std::vector<WaitingRecord> TakeDeferredBefore(int32_t since) {
    return list_.TakeDeferredBefore(since);
  }
  // Those that failed wait like all others.
  void ForgetFailures() { list_.ForgetFailures(); }
  // Lets it wait again, and all of its holder at once.
  void PutBack(const WaitingRecord& record);
  // Of those that have not failed.
  const WaitingRecord* Oldest() const { return list_.Oldest(); }
  // Of all (WaitingRecord::since).
  std::optional<int32_t> OldestSince() const { return list_.OldestSince(); }
  // The oldest, whosever it is.
  std::optional<WaitingRecord> TakeOldest() { return list_.TakeOldest(std::nullopt, false); }
  // The oldest that may go at `now` (HoldBack). While files are still looked for, none of those:
  // there may be older ones.
  std::optional<WaitingRecord> TakeReady(MonotonicTime now) {
    return list_.TakeOldest(now, is_scanning());
  }
  // The waiting record with this id; nothing when none waits. Looks at each: for people, not for
  // the way of every record.
  std::optional<WaitingRecord> Find(const RecordId& id) const { return list_.Find(id); }
  std::optional<WaitingList::Deferred> FindDeferred(const RecordId& id) const {
    return list_.FindDeferred(id);
  }
  // The same as Find, and it is the caller's from here on.
  std::optional<WaitingRecord> Take(const RecordId& id) { return list_.Take(id); }
  bool HasReady(MonotonicTime now) const { return list_.HasReady(now, is_scanning()); }

  // The record's holder has to wait until then; others do not.
  void HoldBack(const WaitingRecord& record, MonotonicTime until) { list_.HoldBack(record, until); }
  bool IsHeldBack(const WaitingRecord& record, MonotonicTime now) const {
    return list_.IsHeldBack(record, now);
  }
  void ReleaseAll() { list_.ReleaseAll(); }
  std::optional<MonotonicTime> NextRelease(MonotonicTime now) const {
    return list_.NextRelease(now);
  }

  // The bytes of the record's file.
  Result<std::string> Read(const WaitingRecord& record) const;

  // It has its last state and counts no more; its file goes by Remove() or Reject().
  void Settle(const WaitingRecord& record) { list_.Uncount(record); }

  // The file goes. A file that is gone already is fine.
  Status Remove(const WaitingRecord& record);

  // A file of the spool moves to the folder of rejected ones, with the reason.
  Status Reject(const std::string& file_name, std::string_view reason) {
    return rejected_.TakeIn(folder_.get(), file_name, reason);
  }
  RejectedFolder& rejected() { return rejected_; }

  // The files of settled records that could not go yet still take room.
  void Occupy(uint64_t blocks) { leftover_blocks_ += blocks; }
  void Vacate(uint64_t blocks) { leftover_blocks_ -= blocks; }

  // What ScanSome found in one file.
  struct Found {
    // kStays: the disk did not say what it is, or it has no place among the rejected ones; the file
    // stays for the next start, and counts for nothing.
    enum class Kind { kRecord, kTakenOverFrom1x, kInvalid, kStays };
    Kind kind = Kind::kRecord;
    std::string file_name;
    SpoolFileName name;       // all zeros where there is none of ours
    std::string reason;       // of the last two kinds
    std::string header_text;  // what of an invalid file is headers; mostly nothing
    uint64_t size = 0;        // of the file
    WallTime came{};          // the time of a file; before kFirstRecord nobody knows it
  };
  // telemetrics-client appeared in 2015: a clock that tells an earlier time was not set yet.
  static constexpr WallTime kFirstRecord = std::chrono::sys_days{std::chrono::year(2015) / 1 / 1};

  // Looks at up to `count` more files that were there before this daemon, and tells about each. The
  // records among them join the waiting ones. An invalid one is left to its caller, who rejects it.
  // Returns false when there is nothing more to look at. After an error the next call begins anew
  // and tells about each file once all the same.
  Result<bool> ScanSome(size_t count, const std::function<void(const Found&)>& tell);
  bool is_scanning() const { return scan_ != nullptr; }

  size_t waiting() const { return list_.size(); }
  uint64_t bytes() const { return (list_.held().blocks + leftover_blocks_) * kBlock; }
  const Held& held() const { return list_.held(); }
  const Held& held(uid_t uid) const { return list_.held(list_.HolderOf(uid)); }
  int folder_fd() const { return folder_.get(); }

 private:
  static constexpr uint64_t kBlock = 4096;
  // So that WaitingRecord::since holds it, and far beyond any record_expiry.
  static constexpr std::chrono::milliseconds kLongestAge = std::chrono::hours(24 * 365 * 50);

  struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  Spool(const Clock& clock, const std::string& rejected_folder);
  std::optional<Found> Look(const std::string& file_name, const std::optional<SpoolFileName>& name);
  Status TakeOverForeign(Found& found, int64_t mtime_ms, uid_t uid);
  void Add(const SpoolFileName& name, uint64_t size, int64_t mtime_ms);
  void LearnSeverities(size_t holder);
  std::string ReadHeaders(const std::string& file_name) const;

  const Clock* clock_;
  RejectedFolder rejected_;
  UniqueFd folder_;
  WaitingList list_;
  uint64_t leftover_blocks_ = 0;
  std::unique_ptr<DIR, CloseDir> scan_;
  // Names of ours first, for files of 1.x get such names.
  bool scans_foreign_ = false;
  bool has_foreign_ = false;
  // What this daemon put there while it scans, so that no record is counted twice.
  std::set<RecordId> own_;
};

}  // namespace telem
