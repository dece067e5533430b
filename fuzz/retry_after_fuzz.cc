// The Retry-After field of a server's answer, and behind a newline its Date.
#include <algorithm>

#include "base/text.h"
#include "deliver/retry_after.h"
#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view date = AsText(data, size);
  const std::string_view value = TakeUntil(date, '\n');
  constexpr std::chrono::sys_seconds kNow{std::chrono::seconds(1'795'445'503)};
  const uint32_t seconds = ParseRetryAfter(value, date, kNow);
  Require(seconds <= kMaxRetryAfter, "nobody waits longer than a day");
  if (const auto until = ParseHttpDate(value)) {
    if (!ParseHttpDate(date) && *until <= kNow) Require(seconds == 0, "the past is no wait");
  } else if (const auto number = ParseUnsigned(Trim(value))) {
    Require(seconds == std::min<uint64_t>(*number, kMaxRetryAfter), "seconds count as they stand");
  }
  return 0;
}
