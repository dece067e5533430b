// One line of the control socket, as a client sends it: what it asks for. docs/formats.md tells the
// whole conversation.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

enum class ControlCommand {
  kStatus,
  kSpoolList,
  kSpoolShow,
  kSpoolDrop,
  kSpoolFlush,
  kSpoolImport,
  kRejectedList,
  kRejectedShow,
  kRejectedRetry,
  kRejectedDrop,
  kJournalShow,
};

// Whether it changes what is kept; that is not for all who may ask (ControlRights).
bool IsChanging(ControlCommand command);

struct ControlRequest {
  ControlCommand command = ControlCommand::kStatus;
  // Another request follows on this connection.
  bool keep_open = false;
  // Which record: its id (spool-show, spool-drop), the name of its spool file (spool-import), that
  // of its file among the rejected ones, or its event id (journal-show).
  std::string name;
  // spool-drop: why, for the journal; empty where the person gave no reason.
  std::string reason;
  // spool-import: a piece of the spool file's bytes, and whether another piece follows.
  std::string data;
  bool has_more = false;
};

// Pieces of records stand in lines as hex; so many bytes make one line.
inline constexpr size_t kMaxControlPiece = size_t{16} * 1024;

// `line` without its newline. kInvalid says what is wrong, in printable text. Members that are not
// known are passed over, so that programs of two releases can talk.
Result<ControlRequest> ParseControlRequest(std::string_view line);

}  // namespace telem
