#include "store/journal_line.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace telem {
namespace {

constexpr char kSeparator = '\x1e';
constexpr size_t kFields1x = 5;
constexpr size_t kFields = 12;
constexpr size_t kBootIdSize = 36;
constexpr std::array<std::string_view, 7> kStates = {"spooled", "delivered", "rejected", "dropped",
                                                     "expired", "evicted",   "local"};

template <typename Number>
bool ParseField(std::string_view text, Number& value) {
  const auto number = ParseUnsigned(text);
  if (!number || *number > static_cast<Number>(-1)) return false;
  value = static_cast<Number>(*number);
  return true;
}

}  // namespace

std::string_view NameOf(RecordState state) { return kStates[static_cast<size_t>(state)]; }

std::optional<RecordState> FindRecordState(std::string_view name) {
  const auto* at = std::find(kStates.begin(), kStates.end(), name);
  if (at == kStates.end()) return std::nullopt;
  return static_cast<RecordState>(at - kStates.begin());
}

void AppendJournalLine(std::string& out, const JournalLine& line) {
  AppendMasked(out, line.record_id);
  out += kSeparator;
  AppendUnsigned(out, line.time);
  for (const std::string_view text : {line.classification, line.event_id, line.boot_id}) {
    out += kSeparator;
    AppendMasked(out, text);
  }
  out += kSeparator;
  AppendUnsigned(out, line.severity);
  out += kSeparator;
  AppendUnsigned(out, line.bytes);
  out += kSeparator;
  if (line.state) out += NameOf(*line.state);
  out += kSeparator;
  AppendMasked(out, line.detail);
  out += kSeparator;
  AppendUnsigned(out, line.uid);
  out += kSeparator;
  AppendUnsigned(out, line.pid);
  out += kSeparator;
  AppendMasked(out, line.comm);
  out += '\n';
}

std::optional<JournalLine> ParseJournalLine(std::string_view text) {
  std::array<std::string_view, kFields> fields;
  size_t count = 0;
  bool more = true;
  while (more) {
    if (count == kFields) return std::nullopt;
    more = text.contains(kSeparator);
    fields[count++] = TakeUntil(text, kSeparator);
  }
  JournalLine line;
  if (count != kFields1x && count != kFields) return std::nullopt;
  // The sizes of the ids tell a line of 1.x from a longer one that was torn.
  if (!IsLowerHex(fields[0], 32) || fields[4].size() != kBootIdSize ||
      !ParseField(fields[1], line.time)) {
    return std::nullopt;
  }
  line.record_id = fields[0];
  line.classification = fields[2];
  line.event_id = fields[3];
  line.boot_id = fields[4];
  if (count == kFields1x) return line;
  line.state = FindRecordState(fields[7]);
  if (!line.state || !ParseField(fields[5], line.severity) || !ParseField(fields[6], line.bytes) ||
      !ParseField(fields[9], line.uid) || !ParseField(fields[10], line.pid)) {
    return std::nullopt;
  }
  line.detail = fields[8];
  line.comm = fields[11];
  return line;
}

}  // namespace telem
