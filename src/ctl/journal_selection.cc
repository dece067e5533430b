#include "ctl/journal_selection.h"

#include <string_view>

namespace telem {
namespace {

bool IsIn(std::string_view classification, std::string_view wanted) {
  if (!wanted.ends_with("/*")) return classification == wanted;
  wanted.remove_suffix(1);
  return classification.starts_with(wanted);
}

}  // namespace

bool JournalSelection::Matches(const JournalEntry& entry) const {
  return (!record_id || entry.record_id == *record_id) &&
         (!event_id || entry.event_id == *event_id) &&
         (!classification || IsIn(entry.classification, *classification)) &&
         (!boot_id || entry.boot_id == *boot_id) && (!state || entry.state == state) &&
         (!since || entry.time >= *since);
}

}  // namespace telem
