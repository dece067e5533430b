#include "ctl/journal_text.h"

#include <algorithm>
#include <limits>

#include "base/flat_json.h"
#include "ctl/terminal_text.h"
#include "ctl/time_text.h"

namespace telem {
namespace {

// Columns as 1.x has them; scripts cut them out by position.
constexpr size_t kClassification = 30;
constexpr size_t kTime = 27;
constexpr size_t kRecordId = 32;
constexpr size_t kEventId = 32;
constexpr size_t kBootId = 36;
// And those of --wide.
constexpr size_t kState = 9;
constexpr size_t kSeverity = 3;
constexpr size_t kBytes = 6;
constexpr size_t kUid = 5;
constexpr size_t kCommand = 15;  // TASK_COMM_LEN without its NUL

void AppendLeft(std::string& out, std::string_view text, size_t width) {
  out += text;
  if (text.size() < width) out.append(width - text.size(), ' ');
}

void AppendRight(std::string& out, std::string_view text, size_t width) {
  if (text.size() < width) out.append(width - text.size(), ' ');
  out += text;
}

std::string_view ColorOf(RecordState state) {
  switch (state) {
    case RecordState::kDelivered:
      return "\x1b[32m";  // green
    case RecordState::kSpooled:
      return "\x1b[33m";  // yellow
    case RecordState::kLocal:
      return "\x1b[36m";  // cyan
    case RecordState::kRejected:
    case RecordState::kDropped:
    case RecordState::kExpired:
    case RecordState::kEvicted:
      break;
  }
  return "\x1b[31m";  // red: the record is lost to the server
}

void AppendWide(std::string& out, const JournalEntry& entry, bool colors) {
  if (!entry.state) {
    out += " -";
    return;
  }
  out += ' ';
  if (colors) out += ColorOf(*entry.state);
  AppendLeft(out, NameOf(*entry.state), kState);
  if (colors) out += "\x1b[0m";
  out += ' ';
  AppendRight(out, std::to_string(entry.severity), kSeverity);
  out += ' ';
  AppendRight(out, std::to_string(entry.bytes), kBytes);
  out += ' ';
  AppendRight(out, std::to_string(entry.uid), kUid);
  out += ' ';
  const std::string command = TerminalLine(entry.comm);
  AppendLeft(out, command.empty() ? "-" : command, entry.detail.empty() ? 0 : kCommand);
  if (!entry.detail.empty()) out += " " + TerminalLine(entry.detail);
}

int64_t Clamped(uint64_t number) {
  constexpr auto kMax = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::min(number, static_cast<uint64_t>(kMax)));
}

void AddEntry(FlatJsonWriter& json, const JournalEntry& entry) {
  json.Add("record_id", entry.record_id)
      .Add("time", Clamped(entry.time))
      .Add("classification", entry.classification)
      .Add("event_id", entry.event_id)
      .Add("boot_id", entry.boot_id);
  if (entry.state) {
    json.Add("state", NameOf(*entry.state))
        .Add("detail", entry.detail)
        .Add("severity", Clamped(entry.severity))
        .Add("bytes", Clamped(entry.bytes))
        .Add("uid", Clamped(entry.uid))
        .Add("pid", Clamped(entry.pid))
        .Add("command", entry.comm);
  } else {
    for (const char* name : {"state", "detail", "severity", "bytes", "uid", "pid", "command"}) {
      json.AddNull(name);
    }
  }
}

}  // namespace

std::string JournalHeadings(const JournalStyle& style) {
  std::string out;
  AppendLeft(out, "Classification", kClassification);
  out += ' ';
  AppendLeft(out, "Time stamp", kTime);
  out += ' ';
  AppendLeft(out, "Record ID", kRecordId);
  out += ' ';
  AppendLeft(out, "Event ID", kEventId);
  out += ' ';
  AppendLeft(out, "Boot ID", kBootId);
  if (style.wide) {
    out += ' ';
    AppendLeft(out, "State", kState);
    out += ' ';
    AppendRight(out, "Sev", kSeverity);
    out += ' ';
    AppendRight(out, "Bytes", kBytes);
    out += ' ';
    AppendRight(out, "Uid", kUid);
    out += ' ';
    AppendLeft(out, "Command", kCommand);
    out += " Detail";
  }
  out += '\n';
  return out;
}

std::string JournalText(const JournalEntry& entry, const JournalStyle& style) {
  std::string out;
  AppendLeft(out, TerminalLine(entry.classification), kClassification);
  out += ' ' + LocalTimeText(entry.time);
  out += ' ' + entry.record_id;
  out += ' ' + TerminalLine(entry.event_id);
  out += ' ' + TerminalLine(entry.boot_id);
  if (style.wide) AppendWide(out, entry, style.colors);
  out += '\n';
  return out;
}

std::string JournalJson(const JournalEntry& entry) {
  FlatJsonWriter json;
  AddEntry(json, entry);
  return TerminalJson(json.Finish()) + "\n";
}

std::string JournalJson(const JournalEntry& entry, const std::optional<std::string>& payload) {
  FlatJsonWriter json;
  AddEntry(json, entry);
  if (payload) {
    // The retained file has one newline more than the payload.
    std::string_view bytes = *payload;
    if (bytes.ends_with('\n')) bytes.remove_suffix(1);
    json.Add("payload", bytes);
  } else {
    json.AddNull("payload");
  }
  return TerminalJson(json.Finish()) + "\n";
}

}  // namespace telem
