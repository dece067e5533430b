// JournalReader: the journal as people look at it, one entry a record. It only ever reads: it makes
// no file and takes no lock, so looking at a journal never gets in the daemon's way.
//
// What the daemon does meanwhile is expected: lines are appended, a line may be half written, and
// the whole file is replaced when it is trimmed. Lines that are none of ours are passed over.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "store/journal_line.h"

namespace telem {

// A record and the newest that is known of it. The time is that of its first line, so that the
// order of the entries is the order of their times.
struct JournalEntry {
  std::string record_id;
  uint64_t time = 0;  // seconds since the epoch
  std::string classification;
  std::string event_id;
  std::string boot_id;
  std::optional<RecordState> state;  // none in journals of 1.x, nor any of the fields below
  std::string detail;
  unsigned severity = 0;
  uint64_t bytes = 0;
  uint32_t uid = 0;
  uint32_t pid = 0;
  std::string comm;
};

class JournalReader {
 public:
  explicit JournalReader(std::string path) : path_(std::move(path)) {}

  using Changed = std::function<void(const JournalEntry& entry, bool is_new)>;

  // Takes in what was written since the last call, and calls `changed` once for each record that is
  // new or has news, oldest first. `is_new` tells which. kNotFound when there is no journal; the
  // next call may find one.
  Status ReadNew(const Changed& changed);

  // In the order in which the records came.
  const std::deque<JournalEntry>& entries() const { return entries_; }

 private:
  struct News {
    size_t number = 0;
    bool is_new = false;
  };

  // A daemon keeps 100,000 records at most; whatever a file holds, memory stays bounded.
  static constexpr size_t kMaxEntries = 250'000;

  Status OpenAnew();
  Status ReadToEnd();
  void TakeBytes(std::string_view bytes);
  void TakeLine(std::string_view text);
  void Forget();
  void Tell(const Changed& changed);

  std::string path_;
  UniqueFd file_;
  off_t offset_ = 0;
  std::string partial_;      // the last line, as far as it is written
  bool skips_line_ = false;  // the line in hand is longer than any of ours
  // Entries are numbered as they come; the oldest kept one has the number first_.
  std::deque<JournalEntry> entries_;
  size_t first_ = 0;
  std::unordered_map<std::string, size_t> numbers_;  // by record id
  std::vector<News> news_;
};

}  // namespace telem
