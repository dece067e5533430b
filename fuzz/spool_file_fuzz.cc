// A file of the spool. Input: its name, a newline, its bytes.
#include <optional>
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "record/spool_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view bytes = AsText(data, size);
  const std::string_view name_text = TakeUntil(bytes, '\n');

  std::optional<uint32_t> payload_size;
  if (const auto name = ParseSpoolFileName(name_text)) {
    Require(name->ToText() == name_text, "a name has one spelling");
    payload_size = name->payload_size;
  }
  const auto parts = ParseSpoolFile(bytes, payload_size);
  if (!parts) return 0;
  Require(CheckHeaders(parts->headers).has_value(), "the headers of a record are valid");
  Require(!payload_size || parts->payload.size() == *payload_size,
          "the payload is as long as the name says");
  std::string whole(parts->header_text);
  whole += parts->payload;
  whole += '\n';
  Require(bytes.ends_with(whole), "the parts are the file");
  Require(whole.size() == bytes.size() || bytes.starts_with("CFG:"),
          "only the line of 2.x is left out");
  return 0;
}
