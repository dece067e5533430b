// One line that telem-deliver answers telemd with.
#include <string>

#include "fuzz_target.h"
#include "record/delivery_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view line = AsText(data, size);
  const auto verdict = ParseVerdict(line);
  if (!verdict) return 0;
  Require(line.size() < kMaxVerdictLine, "an over-long line is no verdict");
  std::string written;
  AppendVerdict(written, *verdict);
  Require(written.size() <= kMaxVerdictLine, "a verdict that is written fits its limit");
  Require(written.find('\n') == written.size() - 1, "a verdict is one line");
  const auto again = ParseVerdict(std::string_view(written).substr(0, written.size() - 1));
  Require(again && again->id == verdict->id && again->outcome == verdict->outcome &&
              again->code == verdict->code && again->retry_after == verdict->retry_after,
          "a verdict that is written again says the same");
  std::string written_again;
  AppendVerdict(written_again, *again);
  Require(written_again == written, "writing is the same the second time");
  return 0;
}
