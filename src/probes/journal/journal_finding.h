// What an entry of the system journal says that is worth a record. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "probes/journal/journal_entry.h"

namespace telem {

struct JournalFinding {
  // By what it is counted: the unit, or for what belongs to none, how it came into the journal.
  std::string unit;
  // The same for all entries that tell of one failure; empty where each stands for itself.
  std::string failure;
  std::string payload;   // without personal data
  std::string event_id;  // the same each time this entry is read
};

// A unit that failed: one of its processes exited with an error, was killed or dumped core, it was
// started too often, or it failed without the end of a process, by a time-out for example. Only
// systemd's own word counts, whoever else writes such an entry. With `every_error` also whatever
// was logged at one of the priorities 0 to 3, by anybody.
std::optional<JournalFinding> FindInEntry(const JournalEntry& entry, bool every_error);

// The payload that says only how many failures of `unit` were not told in full.
std::string PayloadOfCount(std::string_view unit);

// The same each time these failures are counted; `hour`: as HeldFailures.
std::string EventIdOfCount(std::string_view unit, uint64_t count, int64_t hour);

// `payload` with the number of failures of the unit that were not told in full.
std::string WithCount(std::string payload, uint64_t count);

}  // namespace telem
