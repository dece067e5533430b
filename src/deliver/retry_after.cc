#include "deliver/retry_after.h"

#include <algorithm>
#include <ctime>
#include <string>

#include "base/text.h"

namespace telem {
namespace {

// Dates are short; longer text is none.
constexpr size_t kMaxDate = 64;

constexpr const char* kForms[] = {
    "%a, %d %b %Y %H:%M:%S GMT",  // what servers send today
    "%A, %d-%b-%y %H:%M:%S GMT",  // RFC 850
    "%a %b %e %H:%M:%S %Y",       // asctime()
};

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<std::chrono::sys_seconds> ParseHttpDate(std::string_view text) {
  const std::string date(Trim(text));
  if (date.size() > kMaxDate || !IsPrintableAscii(date)) return std::nullopt;
  for (const char* form : kForms) {
    tm parts{};
    const char* const end = ::strptime(date.c_str(), form, &parts);
    if (end == nullptr || *end != '\0') continue;
    return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
  }
  return std::nullopt;
}

uint32_t ParseRetryAfter(std::string_view value, std::string_view date,
                         std::chrono::sys_seconds now) {
  value = Trim(value);
  if (value.empty()) return 0;  // as with nearly every answer
  // So many that they fit no number are more than a day, too.
  if (IsNumber(value)) {
    return static_cast<uint32_t>(
        std::min<uint64_t>(ParseUnsigned(value).value_or(kMaxRetryAfter), kMaxRetryAfter));
  }
  const auto until = ParseHttpDate(value);
  if (!until) return 0;
  const int64_t seconds = (*until - ParseHttpDate(date).value_or(now)).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, kMaxRetryAfter));
}

}  // namespace telem
