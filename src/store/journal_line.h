// One line of the journal: what happened to a record. Fields are separated by RS (0x1e), the first
// five are those of telemetrics-client 1.x:
//
//   record id, time, classification, event id, boot id,
//   severity, bytes, state, detail, uid, pid, comm
//
// A later line for the same record id gives its newer state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace telem {

enum class RecordState { kSpooled, kDelivered, kRejected, kDropped, kExpired, kEvicted, kLocal };

std::string_view NameOf(RecordState state);
std::optional<RecordState> FindRecordState(std::string_view name);

// Views into a line, or into what is to become one. Lines of 1.x have the first five fields only;
// there `state` is empty and the numbers are 0.
struct JournalLine {
  std::string_view record_id = {};
  uint64_t time = 0;  // seconds since the epoch
  std::string_view classification = {};
  std::string_view event_id = {};
  std::string_view boot_id = {};
  unsigned severity = 0;
  uint64_t bytes = 0;
  std::optional<RecordState> state = {};
  std::string_view detail = {};
  uint32_t uid = 0;
  uint32_t pid = 0;
  std::string_view comm = {};
};

// Appends the line and its newline. Control characters in any field become `?`.
void AppendJournalLine(std::string& out, const JournalLine& line);

// Nothing when `text` (without its newline) is no line of 1.x or of this version.
std::optional<JournalLine> ParseJournalLine(std::string_view text);

}  // namespace telem
