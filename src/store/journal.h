// Journal: what became of each record, as append-only text that tail, grep and readers of 1.x
// understand (journal_line.h).
//
// Usage: Add() the lines of one round, Flush() them with one write before anything is answered for,
// Trim() when nothing is pressing. One thread, one writer. Lines that a Flush could not write go
// with the next one.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "store/journal_line.h"

namespace telem {

class Journal {
 public:
  // Appends to `folder`/journal, which is made where it is missing (mode 0640). A line that a crash
  // tore is ended first. Keeps the latest `max_records` records.
  static Result<Journal> Open(const std::string& folder, int64_t max_records);

  void Add(const JournalLine& line);

  bool HasPending() const { return !pending_.empty(); }

  // One write for all lines that are pending. After a failure those that are not in the file stay
  // pending, up to 256 KiB of them: beyond that the oldest are lost, since the journal tells what
  // happened, and the spool keeps what matters.
  Status Flush();

  // Whether so many records came since the last Trim() that it should not wait for a quiet time.
  bool IsOvergrown() const;

  // Leaves the latest `max_records` records: a new file is written and renamed over the old one.
  Status Trim();

  void set_max_records(int64_t max_records) { max_records_ = max_records; }

 private:
  Journal() = default;
  Status OpenFile();

  std::string path_;
  int64_t max_records_ = 0;
  UniqueFd file_;
  std::string pending_;
  int64_t lines_since_trim_ = 0;
  bool is_torn_ = false;
};

}  // namespace telem
