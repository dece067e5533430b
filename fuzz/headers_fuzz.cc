// The header lines of a record, as they come in frames and spool files.
#include <string>

#include "fuzz_target.h"
#include "record/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view text = AsText(data, size);
  std::string_view rest = text;
  const auto taken = TakeHeaders(rest);
  const auto split = SplitHeaders(text);
  if (!taken) {
    Require(rest == text, "nothing is taken on failure");
    Require(!split, "what cannot be taken cannot be split");
    return 0;
  }
  Require(split.has_value() == rest.empty(), "splitting wants all of the text, taking its front");

  std::string written;
  AppendHeaders(written, *taken);
  const auto again = SplitHeaders(written);
  Require(again.has_value(), "what is written can be read");
  for (size_t i = 0; i < kHeaderCount; ++i) {
    Require(again->values[i].size() <= MaxValue(static_cast<Header>(i)),
            "no value that is written is longer than servers take");
  }
  std::string written_again;
  AppendHeaders(written_again, *again);
  Require(written_again == written, "writing is the same the second time");
  if (CheckHeaders(*taken)) {
    Require(CheckHeaders(*again).has_value(), "writing spoils no valid value");
  }
  return 0;
}
