// The record ids of a journal and nothing else, for telemd itself, which must not hold the journal
// in memory.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "record/record_id.h"

namespace telem {

// The id of each record that the journal at `path` names, sorted: 16 bytes a record. Empty where
// there is no journal.
Result<std::vector<RecordId>> ReadJournalIds(const std::string& path);

}  // namespace telem
