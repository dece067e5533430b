// An entry of the system journal, as far as it is read here.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace telem {

struct JournalEntry {
  // Where it stands, as sd_journal_get_cursor(3) names it.
  std::string cursor;
  std::chrono::microseconds realtime{0};   // since the epoch
  std::chrono::microseconds monotonic{0};  // since its boot
  // The values by name. Those whose name begins with `_` were written by journald itself and cannot
  // be made up by whoever logs (systemd.journal-fields(7)).
  std::map<std::string, std::string, std::less<>> fields;

  // Empty where the entry has no such field.
  std::string_view Get(std::string_view name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string_view() : found->second;
  }
};

// The fields that are read.
inline constexpr const char* kJournalFields[] = {
    "MESSAGE", "UNIT",          "UNIT_RESULT", "EXIT_CODE", "EXIT_STATUS",
    "COMMAND", "INVOCATION_ID", "PRIORITY",    "_HOSTNAME", "_PID",
    "_UID",    "_SYSTEMD_UNIT", "_TRANSPORT",  "_BOOT_ID",
};

// What is longer is cut: no message of systemd's is, and a record needs no more of any.
inline constexpr size_t kMaxJournalField = size_t{16} * 1024;

}  // namespace telem
