// How far the system journal was read, and what of it was only counted: in one file, so that one
// write moves both.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "probes/journal/failure_counts.h"

namespace telem {

struct JournalState {
  std::string cursor;  // of the last entry that is done with; empty: none is
  FailureCounts counts;

  std::string ToText() const;
  // A text that is damaged gives what of it can be read.
  static JournalState FromText(std::string_view text);
};

// The file, locked as long as this lives: two probes would tell everything twice.
class LockedJournalState {
 public:
  // `path` in a folder that exists. kBusy when another probe has it. A file that is missing gives
  // an empty state.
  static Result<LockedJournalState> Open(const std::string& path);

  JournalState state;
  // Outlives the death of this process; not that of the machine, since another boot is read from
  // its beginning.
  Status Save() const;

 private:
  std::string path_;
  UniqueFd lock_;
};

}  // namespace telem
