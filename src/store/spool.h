// Spool: the records that wait for their delivery, one file each, so that they survive whatever
// kills the daemon.
//
// The life of a waiting record: Put() makes its file (whole or not at all) and counts it. Whoever
// is to deliver it owns the WaitingRecord from then on: he lets it wait (Append), takes the oldest
// (TakeOldest), and in the end says Remove() or Reject(). Files found at start come in by
// ScanSome(). One thread; the folder is locked against a second daemon for as long as the object
// lives.
//
// Memory: 28 bytes a waiting record. No call costs more with more records waiting.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "record/spool_file.h"
#include "store/rejected_folder.h"

namespace telem {

// A record whose file lies in the spool.
struct WaitingRecord {
  SpoolFileName name;
  uint32_t blocks = 0;  // of 4 KiB, as spool_max_size counts

  const RecordId& id() const { return name.id; }
};

class Spool {
 public:
  // Opens and locks `folder`; `rejected_folder` is made when it is first needed. kBusy when another
  // daemon has the lock.
  static Result<Spool> Open(const std::string& folder, const std::string& rejected_folder);

  Spool(Spool&&) noexcept = default;
  Spool& operator=(Spool&&) noexcept = default;

  // Writes the record's file. It is there, whole, when this returns a value; nothing is there when
  // it does not. It survives a power cut once the file system is synced (SpoolSyncer).
  Result<WaitingRecord> Put(const SpoolFileName& name, std::string_view header_text,
                            std::string_view payload);

  // Takes the file `rejected_name` of `size` bytes back from the rejected ones, as the record
  // `name`. Whoever calls has looked at what is in it.
  Result<WaitingRecord> TakeBack(const std::string& rejected_name, const SpoolFileName& name,
                                 size_t size);

  // Whether a record of `bytes` still fits under `max_kib` (-1: no limit).
  bool HasRoom(size_t bytes, int64_t max_kib) const;

  // Lets the record wait behind the others.
  void Append(const WaitingRecord& record) { waiting_.push_back(record); }
  // Lets it wait where its age puts it; for records that were taken a moment ago.
  void PutBack(const WaitingRecord& record);
  const WaitingRecord* Oldest() const { return waiting_.empty() ? nullptr : &waiting_.front(); }
  std::optional<WaitingRecord> TakeOldest();
  // The waiting record with this id, wherever it stands; nothing when none waits. What it costs
  // grows with the number of records before it: for people, not for the way of every record.
  std::optional<WaitingRecord> Find(const RecordId& id) const;
  // The same, and it is the caller's from here on.
  std::optional<WaitingRecord> Take(const RecordId& id);

  // The bytes of the record's file.
  Result<std::string> Read(const WaitingRecord& record) const;

  // The file goes. A file that is gone already is fine.
  Status Remove(const WaitingRecord& record);

  // The file moves to the folder of rejected ones, with the reason.
  Status Reject(const WaitingRecord& record, std::string_view reason);
  RejectedFolder& rejected() { return rejected_; }

  // What ScanSome found in one file.
  struct Found {
    // kUnreadable: the disk did not say what it is; the file stays for the next start.
    enum class Kind { kRecord, kTakenOverFrom1x, kRejected, kUnreadable };
    Kind kind;
    std::string file_name;
    WaitingRecord record;  // of the first two kinds
    std::string reason;    // of the others
  };

  // Looks at up to `count` more files that were there before this daemon, and tells about each. The
  // records among them join the waiting ones, oldest first and before all newer, when the last was
  // looked at. Returns false when there is nothing more to look at. After an error the next call
  // begins anew and tells about each file once all the same.
  Result<bool> ScanSome(size_t count, const std::function<void(const Found&)>& tell);
  bool is_scanning() const { return scan_ != nullptr; }

  size_t waiting() const { return waiting_.size() + found_.size(); }
  uint64_t bytes() const { return blocks_ * kBlock; }
  int folder_fd() const { return folder_.get(); }

 private:
  static constexpr uint64_t kBlock = 4096;

  struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };

  explicit Spool(const std::string& rejected_folder) : rejected_(rejected_folder) {}
  std::optional<Found> Look(const std::string& file_name);
  Result<WaitingRecord> TakeOverForeign(const std::string& file_name, uint32_t uid,
                                        int64_t mtime_ms);

  RejectedFolder rejected_;
  UniqueFd folder_;
  std::deque<WaitingRecord> waiting_;
  std::vector<WaitingRecord> found_;
  // What this daemon itself named while it scans, so that no record is counted twice.
  std::set<RecordId> own_;
  std::unique_ptr<DIR, CloseDir> scan_;
  uint64_t blocks_ = 0;
};

}  // namespace telem
