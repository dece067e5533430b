#include "ctl/spool_verb.h"

#include <cstdio>

#include "base/clock.h"
#include "base/text.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "ctl/time_text.h"

namespace telem {
namespace {

constexpr const char* kColumns = "%-32s %-27s %-9s %3s %8s %6s %s";

template <typename... Texts>
std::string Row(const Texts&... texts) {
  const int size = std::snprintf(nullptr, 0, kColumns, texts...);
  std::string row(static_cast<size_t>(size), '\0');
  std::snprintf(row.data(), row.size() + 1, kColumns, texts...);
  return row + "\n";
}

std::string TimeOf(const ControlFields& record, const std::string& name) {
  const auto time = ParseUnsigned(FieldOf(record, name));
  return time ? LocalTimeText(*time) : "-";
}

// "failed 3 times, again in 12 s", or nothing where the state says it all.
std::string AttemptsOf(const ControlFields& record, uint64_t now) {
  const auto failures = ParseUnsigned(FieldOf(record, "attempts"));
  std::string text;
  if (failures && *failures > 0) {
    text = "failed " + (*failures == 1 ? "once" : std::to_string(*failures) + " times");
  }
  const auto next = ParseUnsigned(FieldOf(record, "next"));
  if (next && *next > now) {
    if (!text.empty()) text += ", ";
    text += "next attempt in " + DurationText(*next - now);
  }
  return text.empty() ? text : " (" + text + ")";
}

uint64_t Now() { return static_cast<uint64_t>(EpochSeconds(SystemClock().Now())); }

Result<std::vector<ControlClient::Line>> AskForList(const std::string& path) {
  TELEM_TRY(ControlClient client, ControlClient::Connect(path));
  return ListRecords(client, "spool-list");
}

}  // namespace

int RunSpoolList(bool json, const Settings& settings) {
  Output output(Output::Paging::kOnTerminal);
  const auto records = AskForList(settings.control_path);
  if (!records) return ComplainOfTelemd(records.error(), output);
  if (records->empty() && !json) {
    output.Complain("no record waits");
    return output.Finish();
  }
  if (output.is_terminal() && !json) {
    output.Write(Row("Record ID", "Taken over", "State", "Sev", "Bytes", "Uid", "Classification"));
  }
  const uint64_t now = Now();
  for (const auto& [text, record] : *records) {
    if (json) {
      output.Write(JsonLine(text));
      continue;
    }
    const std::string last = FieldOf(record, "classification") + AttemptsOf(record, now);
    output.Write(Row(FieldOf(record, "id").c_str(), TimeOf(record, "time").c_str(),
                     FieldOf(record, "state").c_str(), FieldOf(record, "severity").c_str(),
                     FieldOf(record, "bytes").c_str(), FieldOf(record, "uid").c_str(),
                     last.c_str()));
  }
  return output.Finish();
}

int RunSpoolShow(const std::string& id, const Settings& settings) {
  Output output(Output::Paging::kOnTerminal);
  const auto fetch = [&]() -> Result<KeptRecord> {
    TELEM_TRY(ControlClient client, ControlClient::Connect(settings.control_path));
    TELEM_TRY(const auto records, ListRecords(client, "spool-list"));
    TELEM_TRY(const auto record, ChooseRecord(records, id));
    return FetchRecord(client, "spool-show", FieldOf(record.fields, "id"));
  };
  const auto record = fetch();
  if (!record) return ComplainOfTelemd(record.error(), output);
  PrintRecord(record->bytes, output);
  return output.Finish();
}

int RunSpoolDrop(const std::string& id, const Settings& settings) {
  return ActOnChosen(settings.control_path, "spool-list", "spool-drop", id, "dropped");
}

int RunSpoolFlush(const Settings& settings) {
  Output output(Output::Paging::kNever);
  const auto answer =
      AskOnce(settings.control_path, FlatJsonWriter().Add("command", "spool-flush"));
  if (!answer) return ComplainOfRefusal(answer.error(), output);
  const auto waiting = ParseUnsigned(FieldOf(answer->fields, "waiting")).value_or(0);
  output.Write(waiting == 0 ? "no record waits\n"
                            : "trying at once: " + CountText(waiting) + " to send\n");
  return output.Finish();
}

}  // namespace telem
