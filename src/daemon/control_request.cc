#include "daemon/control_request.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/flat_json.h"
#include "base/text.h"
#include "record/record_id.h"
#include "record/spool_file.h"

namespace telem {
namespace {

constexpr size_t kMaxFileName = 255;
constexpr size_t kMaxReason = 100;

enum class NameRule { kNone, kRecordId, kEventId, kSpoolFile, kAnyFile };

struct Command {
  std::string_view name;
  ControlCommand command;
  NameRule rule;
  bool changes;
};

constexpr std::array kCommands = {
    Command{"status", ControlCommand::kStatus, NameRule::kNone, false},
    Command{"spool-list", ControlCommand::kSpoolList, NameRule::kNone, false},
    Command{"spool-show", ControlCommand::kSpoolShow, NameRule::kRecordId, false},
    Command{"spool-drop", ControlCommand::kSpoolDrop, NameRule::kRecordId, true},
    Command{"spool-flush", ControlCommand::kSpoolFlush, NameRule::kNone, true},
    Command{"spool-import", ControlCommand::kSpoolImport, NameRule::kSpoolFile, true},
    Command{"rejected-list", ControlCommand::kRejectedList, NameRule::kNone, false},
    Command{"rejected-show", ControlCommand::kRejectedShow, NameRule::kAnyFile, false},
    Command{"rejected-retry", ControlCommand::kRejectedRetry, NameRule::kAnyFile, true},
    Command{"rejected-drop", ControlCommand::kRejectedDrop, NameRule::kAnyFile, true},
    Command{"journal-show", ControlCommand::kJournalShow, NameRule::kEventId, false},
};

bool IsGoodName(NameRule rule, const std::string& name) {
  switch (rule) {
    case NameRule::kNone:
      return true;
    case NameRule::kRecordId:
    case NameRule::kEventId:  // of the same form
      return ParseRecordId(name).has_value();
    case NameRule::kSpoolFile:
      return ParseSpoolFileName(name).has_value();
    case NameRule::kAnyFile:
      return !name.empty() && name.size() <= 2 * kMaxFileName && name != "." && name != ".." &&
             !name.contains('/') && !name.contains('\0');
  }
  return false;
}

std::unexpected<Error> Mistake(std::string_view what, std::string_view value) {
  return Fail(ErrorCode::kInvalid, std::string(what) + " '" + PrintableAscii(value, 40) + "'");
}

}  // namespace

bool IsChanging(ControlCommand command) {
  return std::any_of(kCommands.begin(), kCommands.end(),
                     [&](const Command& each) { return each.command == command && each.changes; });
}

Result<ControlRequest> ParseControlRequest(std::string_view line) {
  TELEM_TRY(auto values, ParseFlatJson(line));
  if (!values.contains("command")) return Fail(ErrorCode::kInvalid, "no command");
  const auto* const command =
      std::find_if(kCommands.begin(), kCommands.end(),
                   [&](const Command& each) { return each.name == values["command"]; });
  if (command == kCommands.end()) return Mistake("unknown command", values["command"]);
  ControlRequest request{.command = command->command,
                         .keep_open = values["keep_open"] == "true",
                         .name = std::move(values["name"]),
                         .reason = PrintableAscii(values["reason"], kMaxReason),
                         .data = {},
                         .has_more = values["more"] == "true"};
  if (!IsGoodName(command->rule, request.name)) return Mistake("no record's name", request.name);
  auto data = ParseHex(values["data"]);
  if (!data || data->size() > kMaxControlPiece) return Mistake("no piece of hex", values["data"]);
  request.data = std::move(*data);
  return request;
}

}  // namespace telem
