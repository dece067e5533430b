#include "ctl/rejected_verb.h"

#include "base/text.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "ctl/time_text.h"

namespace telem {
namespace {

constexpr const char* kList = "rejected-list";

// "413 too large", "no regular file"
std::string ReasonOf(const ControlFields& record) {
  const std::string code = FieldOf(record, "code");
  const std::string reason = FieldOf(record, "reason");
  if (code == "-") return reason == "-" ? "no reason is known" : reason;
  return reason == "-" ? code : code + " " + reason;
}

std::string Text(const ControlFields& record) {
  const std::string id = FieldOf(record, "id");
  const auto time = ParseUnsigned(FieldOf(record, "time"));
  std::string line = id == "-" ? FieldOf(record, "name") : id;
  line.append(line.size() < 32 ? 33 - line.size() : 1, ' ');
  line += (time ? LocalTimeText(*time) : "-") + " " + FieldOf(record, "classification") + "\n";
  return line + "    " + ReasonOf(record) + "\n";
}

}  // namespace

int RunRejectedList(bool json, const Settings& settings) {
  Output output(Output::Paging::kOnTerminal);
  const auto ask = [&]() -> Result<std::vector<ControlClient::Line>> {
    TELEM_TRY(ControlClient client, ControlClient::Connect(settings.control_path));
    return ListRecords(client, kList);
  };
  const auto records = ask();
  if (!records) return ComplainOfTelemd(records.error(), output);
  if (records->empty() && !json) output.Complain("no record was rejected");
  for (const auto& [text, record] : *records) {
    output.Write(json ? JsonLine(text) : Text(record));
  }
  return output.Finish();
}

int RunRejectedShow(const std::string& name, const Settings& settings) {
  Output output(Output::Paging::kOnTerminal);
  const auto fetch = [&]() -> Result<KeptRecord> {
    TELEM_TRY(ControlClient client, ControlClient::Connect(settings.control_path));
    TELEM_TRY(const auto records, ListRecords(client, kList));
    TELEM_TRY(const auto record, ChooseRecord(records, name));
    return FetchRecord(client, "rejected-show", record.fields.at("name"));
  };
  const auto record = fetch();
  if (!record) return ComplainOfTelemd(record.error(), output);
  PrintRecord(record->bytes, output);
  return output.Finish();
}

int RunRejectedRetry(const std::string& name, const Settings& settings) {
  return ActOnChosen(settings.control_path, kList, "rejected-retry", name,
                     "put back into the spool");
}

int RunRejectedDrop(const std::string& name, const Settings& settings) {
  return ActOnChosen(settings.control_path, kList, "rejected-drop", name, "dropped");
}

}  // namespace telem
