// JournalSearch: what became of one record, for telemd itself, which must not hold the journal in
// memory, nor keep senders waiting while it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "store/journal_line.h"

namespace telem {

class JournalSearch {
 public:
  struct Found {
    std::string record_id;
    uint64_t time = 0;  // of its newest line, seconds since the epoch
    std::optional<RecordState> state;
    std::string detail;
  };

  // For the record with `event_id` in the journal at `path`. kNotFound when there is no journal.
  static Result<JournalSearch> Open(const std::string& path, std::string event_id);

  // Reads a piece more; false at the end.
  Result<bool> ReadSome();

  // As far as it was read; of several with this event id the last one.
  const std::optional<Found>& found() const { return found_; }

 private:
  JournalSearch(UniqueFd file, std::string event_id)
      : file_(std::move(file)), event_id_(std::move(event_id)) {}
  void TakeLine(std::string_view text);

  UniqueFd file_;
  std::string event_id_;
  std::string unread_;  // the line in hand, as far as it was read
  std::optional<Found> found_;
};

}  // namespace telem
