// JournalSelection: which records of the journal a person asked for. Every condition that is set
// must hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "store/journal_reader.h"

namespace telem {

struct JournalSelection {
  std::optional<std::string> record_id;
  std::optional<std::string> event_id;
  std::optional<std::string> classification;  // exact, or everything below it when it ends in "/*"
  std::optional<std::string> boot_id;
  std::optional<RecordState> state;
  std::optional<uint64_t> since;  // seconds since the epoch

  bool Matches(const JournalEntry& entry) const;
};

}  // namespace telem
