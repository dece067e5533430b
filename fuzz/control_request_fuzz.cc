// A line of the control socket, which everybody on the machine may write to.
#include "base/text.h"
#include "daemon/control_request.h"
#include "fuzz_target.h"
#include "record/record_id.h"
#include "record/spool_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const auto request = ParseControlRequest(AsText(data, size));
  if (!request) {
    Require(IsPrintableAscii(request.error().message), "a mistake is told in printable text");
    return 0;
  }
  Require(request->data.size() <= kMaxControlPiece, "a piece is bounded");
  Require(IsPrintableAscii(request->reason), "a reason is printable");
  switch (request->command) {
    case ControlCommand::kSpoolShow:
    case ControlCommand::kSpoolDrop:
      Require(ParseRecordId(request->name).has_value(), "a record has its id");
      break;
    case ControlCommand::kSpoolImport:
      Require(ParseSpoolFileName(request->name).has_value(), "an import names its file");
      break;
    case ControlCommand::kRejectedShow:
    case ControlCommand::kRejectedRetry:
    case ControlCommand::kRejectedDrop:
      Require(!request->name.contains('/') && !request->name.empty(),
              "a name leads into no other folder");
      break;
    default:
      break;
  }
  return 0;
}
