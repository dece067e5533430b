#include "ctl/kept_records.h"

#include <algorithm>

#include "base/text.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"

namespace telem {
namespace {

// A rejected file is at most 10 MiB (RejectedFolder::kMaxBytes).
constexpr size_t kMaxRecord = 10 * 1024 * 1024;

std::string Get(const ControlFields& record, const std::string& name) {
  const auto at = record.find(name);
  return at == record.end() || at->second == "null" ? std::string() : at->second;
}

// What a record is called: its file's name among the rejected ones, its id in the spool.
std::string NameOfRecord(const ControlFields& record) {
  const std::string name = Get(record, "name");
  return name.empty() ? Get(record, "id") : name;
}

}  // namespace

Result<std::vector<ControlClient::Line>> ListRecords(ControlClient& client, const char* command) {
  TELEM_CHECK(client.Ask(FlatJsonWriter().Add("command", command)));
  std::vector<ControlClient::Line> records;
  while (true) {
    TELEM_TRY(auto record, client.NextOfMany());
    if (!record) break;
    records.push_back(std::move(*record));
  }
  // Waiting ones come as the folder lists them; ids sort by time. Rejected ones come in order.
  const bool are_waiting = !records.empty() && !records.front().fields.contains("name");
  if (are_waiting) {
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) {
      return Get(a.fields, "id") < Get(b.fields, "id");
    });
  }
  return records;
}

Result<ControlClient::Line> ChooseRecord(const std::vector<ControlClient::Line>& records,
                                         std::string_view wanted) {
  const ControlClient::Line* found = nullptr;
  for (const ControlClient::Line& record : records) {
    for (const std::string& name : {Get(record.fields, "id"), Get(record.fields, "name")}) {
      if (name == wanted) return record;
      if (wanted.empty() || (!name.starts_with(wanted) && !name.ends_with(wanted))) continue;
      if (found != nullptr && found != &record) {
        return Fail(ErrorCode::kInvalid,
                    "'" + std::string(wanted) + "' stands for more than one record");
      }
      found = &record;
    }
  }
  if (found == nullptr) {
    return Fail(ErrorCode::kNotFound, "there is no record '" + std::string(wanted) + "'");
  }
  return *found;
}

Result<KeptRecord> FetchRecord(ControlClient& client, const char* command,
                               const std::string& name) {
  TELEM_CHECK(client.Ask(FlatJsonWriter().Add("command", command).Add("name", name)));
  TELEM_TRY(const auto head, client.NextLine());
  KeptRecord record{.name = Get(head.fields, "name"), .bytes = {}};
  while (true) {
    TELEM_TRY(const auto piece, client.NextOfMany());
    if (!piece) return record;
    const auto bytes = ParseHex(Get(piece->fields, "data"));
    if (!bytes || record.bytes.size() + bytes->size() > kMaxRecord) {
      return Fail(ErrorCode::kInvalid, "telemd's answer is not understood: no piece of a record");
    }
    record.bytes += *bytes;
  }
}

void PrintRecord(std::string_view bytes, Output& output) {
  output.Write(output.is_terminal() ? TerminalBlock(bytes) : std::string(bytes));
}

std::string FieldOf(const ControlFields& record, const std::string& name) {
  const std::string value = Get(record, name);
  return value.empty() ? "-" : TerminalLine(value);
}

std::string CountText(size_t count) {
  return std::to_string(count) + (count == 1 ? " record" : " records");
}

Status ActOn(ControlClient& client, const char* command, const std::string& name,
             const char* reason) {
  FlatJsonWriter request;
  request.Add("command", command).Add("name", name);
  if (reason != nullptr) request.Add("reason", reason);
  TELEM_CHECK(client.Ask(std::move(request)));
  const auto answer = client.NextLine();
  return answer ? Status() : std::unexpected(answer.error());
}

int ActOnChosen(const std::string& control_path, const char* list, const char* command,
                const std::string& wanted, const char* done) {
  Output output(Output::Paging::kNever);
  size_t count = 0;
  size_t failed = 0;
  const auto act = [&]() -> Status {
    TELEM_TRY(ControlClient client, ControlClient::Connect(control_path));
    TELEM_TRY(std::vector<ControlClient::Line> records, ListRecords(client, list));
    if (!wanted.empty()) {
      TELEM_TRY(ControlClient::Line chosen, ChooseRecord(records, wanted));
      records.clear();
      records.push_back(std::move(chosen));
    }
    for (const ControlClient::Line& record : records) {
      const std::string name = NameOfRecord(record.fields);
      const Status acted = ActOn(client, command, name);
      if (acted) {
        ++count;
        continue;
      }
      // One that went its way meanwhile, or that cannot be helped, is not in the way of others.
      const bool is_its_own =
          acted.error().code == ErrorCode::kNotFound || acted.error().code == ErrorCode::kInvalid;
      if (!is_its_own || !wanted.empty()) return acted;
      if (acted.error().code == ErrorCode::kInvalid) {
        ++failed;
        output.Complain(name + ": " + acted.error().message);
      }
    }
    return {};
  };
  const Status acted = act();
  if (!acted) {
    if (count > 0) output.Write(CountText(count) + " " + done + "\n");
    return ComplainOfRefusal(acted.error(), output);
  }
  output.Write(CountText(count) + " " + done + "\n");
  const int written = output.Finish();
  return failed > 0 ? 1 : written;
}

int ComplainOfRefusal(const Error& error, Output& output) {
  if (error.code == ErrorCode::kDenied && error.message.ends_with("only root may do this")) {
    output.Complain("Must be root to run this command. Exiting...");
    return 1;
  }
  return ComplainOfTelemd(error, output);
}

}  // namespace telem
