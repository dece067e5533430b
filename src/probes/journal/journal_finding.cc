#include "probes/journal/journal_finding.h"

#include "base/text.h"
#include "probes/common/event_id.h"
#include "probes/common/masking.h"

namespace telem {
namespace {

// systemd logs the ends of processes that it takes for failures as notice and warning, the others
// as debug, which is only there with LogLevel=debug.
constexpr uint64_t kNotice = 5;
// As it logs that a unit has failed.
constexpr uint64_t kWarning = 4;
constexpr uint64_t kError = 3;

// Has no fields of its own in systemd 252, whose UNIT_RESULT behind it is that of the last start.
constexpr std::string_view kStartLimit = ": Start request repeated too quickly.";
constexpr std::string_view kStartLimitResult = "start-limit-hit";

bool IsFromSystemd(const JournalEntry& entry) {
  return entry.Get("_PID") == "1" && entry.Get("_UID") == "0" &&
         entry.Get("_TRANSPORT") == "journal";
}

bool IsAtMost(const JournalEntry& entry, uint64_t priority) {
  const auto number = ParseUnsigned(entry.Get("PRIORITY"));
  return number && *number <= priority;
}

bool IsFailedProcess(const JournalEntry& entry) {
  if (!IsFromSystemd(entry) || !IsAtMost(entry, kNotice)) return false;
  const std::string_view code = entry.Get("EXIT_CODE");
  if (code == "exited") return entry.Get("EXIT_STATUS") != "0";
  return code == "killed" || code == "dumped";
}

// The result of a unit that failed; nothing where the entry is about something else.
std::optional<std::string_view> FailedResult(const JournalEntry& entry) {
  if (!IsFromSystemd(entry) || !IsAtMost(entry, kWarning)) return std::nullopt;
  if (entry.Get("MESSAGE").ends_with(kStartLimit)) return kStartLimitResult;
  const std::string_view result = entry.Get("UNIT_RESULT");
  if (result.empty()) return std::nullopt;
  return result;
}

// One line: a message of several could pass for the lines behind it.
std::string OneLine(std::string_view text, std::string_view host_name) {
  std::string line = MaskPersonalData(text.substr(0, kMaxJournalField), host_name);
  for (char& c : line) {
    if (IsControl(c)) c = ' ';
  }
  return line;
}

class PayloadWriter {
 public:
  explicit PayloadWriter(const JournalEntry& entry) : entry_(entry) {
    text_ = "MESSAGE=" + Value("MESSAGE") + "\n";
  }
  void Add(std::string_view label, std::string_view value) {
    if (value.empty()) return;
    text_ += label;
    text_ += ": " + OneLine(value, entry_.Get("_HOSTNAME")) + "\n";
  }
  void AddField(std::string_view label, std::string_view name) { Add(label, entry_.Get(name)); }
  std::string Finish() { return std::move(text_); }

 private:
  std::string Value(std::string_view name) const {
    return OneLine(entry_.Get(name), entry_.Get("_HOSTNAME"));
  }

  const JournalEntry& entry_;
  std::string text_;
};

std::string EventIdOfEntry(const JournalEntry& entry) {
  std::string time;
  AppendSigned(time, entry.monotonic.count());
  return EventIdOf("journal event",
                   {{std::string(entry.Get("_BOOT_ID")), time, std::string(entry.Get("UNIT")),
                     std::string(entry.Get("MESSAGE"))}});
}

}  // namespace

std::optional<JournalFinding> FindInEntry(const JournalEntry& entry, bool every_error) {
  JournalFinding finding;
  finding.unit = entry.Get("UNIT");
  const std::string invocation(entry.Get("INVOCATION_ID"));
  PayloadWriter payload(entry);
  if (IsFailedProcess(entry)) {
    payload.Add("Unit", finding.unit);
    payload.AddField("Command", "COMMAND");
    payload.AddField("Exit code", "EXIT_CODE");
    payload.AddField("Exit status", "EXIT_STATUS");
    // A service that could not reload goes on, and each time is one of its own.
    if (!invocation.empty() && entry.Get("COMMAND") != "ExecReload") {
      finding.failure = "end:" + invocation;
    }
  } else if (const auto result = FailedResult(entry); result && !finding.unit.empty()) {
    // Comes behind the end of the process that failed, and tells more only where none did: of
    // time-outs, of resources that were not there.
    payload.Add("Unit", finding.unit);
    payload.Add("Result", *result);
    if (!invocation.empty()) {
      finding.failure = (*result == kStartLimitResult ? "limit:" : "end:") + invocation;
    }
  } else if (every_error && IsAtMost(entry, kError)) {
    finding.unit = entry.Get("_SYSTEMD_UNIT");
    payload.Add("Unit", finding.unit);
    payload.AddField("Priority", "PRIORITY");
    if (finding.unit.empty()) finding.unit = entry.Get("_TRANSPORT");
  } else {
    return std::nullopt;
  }
  finding.payload = payload.Finish();
  finding.event_id = EventIdOfEntry(entry);
  return finding;
}

std::string PayloadOfCount(std::string_view unit) {
  const std::string name = OneLine(unit, "");
  return "MESSAGE=" + name + ": failed again\nUnit: " + name + "\n";
}

std::string EventIdOfCount(std::string_view unit, uint64_t count, int64_t hour) {
  return EventIdOf("journal count",
                   {{std::string(unit), std::to_string(count), std::to_string(hour)}});
}

std::string WithCount(std::string payload, uint64_t count) {
  if (count == 0) return payload;
  payload += "Repeated: ";
  AppendUnsigned(payload, count);
  return payload + "\n";
}

}  // namespace telem
