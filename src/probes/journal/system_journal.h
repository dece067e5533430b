// SystemJournal: the seam to libsystemd's sd-journal(3). Gives those entries of the system journal
// that may tell of a failure, in order, and a descriptor that says when there are more.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "probes/journal/journal_entry.h"

struct sd_journal;

namespace telem {

class SystemJournal {
 public:
  // This machine's journal of this boot; where `directory` is not empty, all that lies in it, of
  // any boot. With `every_error` also entries with a priority of 0 to 3. kDenied where there is a
  // journal, or none, that this user may not read.
  static Result<SystemJournal> Open(const std::string& directory, bool every_error);

  // One of these comes first. Behind the entry of this cursor; at the beginning where the cursor is
  // empty, is none, or is of another boot than the one that is read.
  Status StartBehind(const std::string& cursor);
  Status StartAt(WallTime time);

  // The next entry; nothing at the end. Fields that are damaged are left out.
  Result<std::optional<JournalEntry>> Next();

  // Becomes ready, for these events of epoll(7), when there may be more. Then CatchUp().
  int fd() const { return fd_; }
  uint32_t events() const { return events_; }
  Status CatchUp();
  // When to call CatchUp() although it is not ready: file systems over a network tell no changes.
  std::optional<MonotonicTime> NextLook() const;

 private:
  struct Close {
    void operator()(sd_journal* journal) const;
  };

  Status AddMatches(bool every_error);
  Result<JournalEntry> ReadEntry();

  std::unique_ptr<sd_journal, Close> journal_;
  std::string boot_id_;  // empty: every boot
  std::string start_cursor_;
  int fd_ = -1;
  uint32_t events_ = 0;
};

}  // namespace telem
