// The one-line objects of the control socket and of telem-deliver's pipe.
#include <algorithm>
#include <map>
#include <string>

#include "base/flat_json.h"
#include "base/text.h"
#include "fuzz_target.h"

namespace telem {
namespace {

std::string Write(const std::map<std::string, std::string>& values) {
  FlatJsonWriter writer;
  for (const auto& [name, value] : values) writer.Add(name, value);
  return writer.Finish();
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const auto values = ParseFlatJson(AsText(data, size));
  if (!values) return 0;
  const std::string written = Write(*values);
  Require(IsUtf8(written) && !written.contains('\n'), "what is written is one line of UTF-8");
  const auto again = ParseFlatJson(written);
  if (!again) {
    // Escapes make text longer.
    Require(again.error().code == ErrorCode::kTooLarge, "what is written can be read");
    return 0;
  }
  const bool utf8 = std::all_of(values->begin(), values->end(), [](const auto& pair) {
    return IsUtf8(pair.first) && IsUtf8(pair.second);
  });
  if (utf8) {
    Require(*again == *values, "text comes back as it was");
    Require(Write(*again) == written, "writing is the same the second time");
  }
  return 0;
}
