// The line of settings that telem-deliver begins with, and the headers in its otlp_headers.
#include "fuzz_target.h"
#include "record/delivery_codec.h"
#include "record/http_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view line = AsText(data, size);
  if (const auto headers = ParseOtlpHeaders(line)) {
    for (const std::string& header : *headers) {
      Require(IsHttpHeaderLine(header), "each header can stand in a request");
    }
  }
  const auto settings = ParseDeliverySettings(line);
  if (!settings) return 0;
  std::string written = EncodeDeliverySettings(*settings);
  Require(written.find('\n') == written.size() - 1, "settings are one line");
  written.pop_back();
  const auto again = ParseDeliverySettings(written);
  // Bytes that are no UTF-8 are written as Latin-1, and stay as they are from then on.
  if (again) {
    Require(EncodeDeliverySettings(*again) == written + '\n', "writing is the same once more");
  }
  return 0;
}
