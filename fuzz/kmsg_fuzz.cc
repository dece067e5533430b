// Bytes of /dev/kmsg, cut into pieces.
#include <string>

#include "fuzz_target.h"
#include "probes/kernel/kmsg_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  if (size == 0) return 0;
  const std::string_view bytes = AsText(data + 1, size - 1);
  // The same in one piece and in many.
  KmsgLog whole(0);
  whole.Feed(bytes);
  KmsgLog pieces(0);
  const size_t length = 1 + data[0] % 64;
  uint64_t safe = 0;
  for (size_t at = 0; at < bytes.size(); at += length) {
    pieces.Feed(bytes.substr(at, length));
    Require(pieces.SafePosition() >= safe, "the position never goes back");
    safe = pieces.SafePosition();
  }
  Require(whole.SafePosition() == pieces.SafePosition(), "cuts do not move the position");
  Require(whole.TakeLost() == pieces.TakeLost(), "cuts lose nothing");
  const uint64_t open = whole.SafePosition();
  whole.Settle();
  pieces.Settle();
  Require(!whole.HasOpen(), "nothing is open when it has settled");
  Require(whole.SafePosition() >= open, "settling does not move the position back");
  const auto reports = whole.TakeFinished();
  const auto again = pieces.TakeFinished();
  Require(reports.size() == again.size(), "cuts hide no report");
  for (size_t i = 0; i < reports.size(); ++i) {
    Require(reports[i].lines == again[i].lines, "cuts change no report");
    Require(reports[i].position < whole.SafePosition(), "what is told is behind the position");
  }
  return 0;
}
