// A request of protocol v2 at the collector. Input: header lines `Name: value`, an empty line, the
// body.
#include <string>
#include <vector>

#include "base/text.h"
#include "collector/ingest/v2_request.h"
#include "fuzz_target.h"

namespace telem {
namespace {

constexpr size_t kMaxFields = 100;
const std::vector<std::string> kTids = {"6907c830-eed9-4ce9-81ae-76daf8d88f0f"};
constexpr WallTime kNow{std::chrono::seconds(1'795'445'503)};

std::vector<HttpField> TakeFields(std::string_view& bytes) {
  std::vector<HttpField> fields;
  while (!bytes.empty() && fields.size() < kMaxFields) {
    std::string_view line = TakeUntil(bytes, '\n');
    if (line.empty()) break;
    const std::string_view name = TakeUntil(line, ':');
    fields.push_back({.name = name, .value = line});
  }
  return fields;
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view bytes = AsText(data, size);
  const std::vector<HttpField> fields = TakeFields(bytes);
  const auto record = ReadV2Request(fields, bytes, kTids, kNow);
  if (!record) {
    Require(!record.error().message.empty(), "a refusal says why");
    return 0;
  }
  Require(record->payload == bytes, "the payload is the body");
  // Quotes within a system name would be at its ends the second time.
  HeaderViews expected = record->headers;
  std::string_view& system_name = expected[Header::kSystemName];
  if (system_name.find_first_of("\"'") != std::string_view::npos) system_name = "debian";
  std::vector<HttpField> kept = {{.name = kTidHeader, .value = kTids[0]}};
  for (size_t i = 0; i < kHeaderCount; ++i) {
    const auto header = static_cast<Header>(i);
    const std::string_view value = expected[header];
    if (!IsPresent(value)) continue;
    Require(IsPrintableAscii(value) && value.size() <= MaxValue(header),
            "what is stored can be shown");
    kept.push_back({.name = NameOf(header), .value = value});
  }
  // So that a copy of a record, sent by whatever client, is seen to be one.
  const auto again = ReadV2Request(kept, bytes, kTids, kNow);
  Require(again && again->headers.values == expected.values &&
              again->creation_timestamp == record->creation_timestamp,
          "what was accepted is accepted again, and stays as it is");
  return 0;
}
