// How a record of the journal looks in print.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/journal_reader.h"

namespace telem {

struct JournalStyle {
  bool wide = false;
  bool colors = false;
};

// The headings of the columns, with a newline.
std::string JournalHeadings(const JournalStyle& style);

// One line with a newline: classification, local time, record id, event id and boot id as 1.x has
// printed them; wide: state, severity, bytes, uid, command and detail behind them.
std::string JournalText(const JournalEntry& entry, const JournalStyle& style);

// One JSON object and a newline. What is not known is null. With `payload` (the retained file's
// bytes) it has a "payload" too.
std::string JournalJson(const JournalEntry& entry);
std::string JournalJson(const JournalEntry& entry, const std::optional<std::string>& payload);

}  // namespace telem
