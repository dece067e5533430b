#include "ctl/since.h"

#include <ctime>
#include <optional>
#include <string>

#include "base/text.h"

namespace telem {
namespace {

std::optional<uint64_t> ParseDuration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t unit = 0;
  switch (text.back()) {
    case 's':
      unit = 1;
      break;
    case 'm':
      unit = 60;
      break;
    case 'h':
      unit = 3600;
      break;
    case 'd':
      unit = 86400;
      break;
    default:
      return std::nullopt;
  }
  text.remove_suffix(1);
  const auto count = ParseUnsigned(text);
  if (!count || *count > UINT64_MAX / unit) return std::nullopt;
  return *count * unit;
}

// Exactly `digits` digits off the front of `rest`, in low..high.
std::optional<int> TakeNumber(std::string_view& rest, size_t digits, int low, int high) {
  if (rest.size() < digits) return std::nullopt;
  const auto number = ParseUnsigned(rest.substr(0, digits));
  if (!number) return std::nullopt;
  const int value = static_cast<int>(*number);
  if (value < low || value > high) return std::nullopt;
  rest.remove_prefix(digits);
  return value;
}

bool TakeChar(std::string_view& rest, char c) {
  if (!rest.starts_with(c)) return false;
  rest.remove_prefix(1);
  return true;
}

std::optional<uint64_t> ParseLocalTime(std::string_view text) {
  std::tm tm{};
  const auto year = TakeNumber(text, 4, 1970, 9999);
  if (!year || !TakeChar(text, '-')) return std::nullopt;
  const auto month = TakeNumber(text, 2, 1, 12);
  if (!month || !TakeChar(text, '-')) return std::nullopt;
  const auto day = TakeNumber(text, 2, 1, 31);
  if (!day) return std::nullopt;
  if (!text.empty()) {
    if (!TakeChar(text, ' ')) return std::nullopt;
    const auto hour = TakeNumber(text, 2, 0, 23);
    if (!hour || !TakeChar(text, ':')) return std::nullopt;
    const auto minute = TakeNumber(text, 2, 0, 59);
    if (!minute) return std::nullopt;
    tm.tm_hour = *hour;
    tm.tm_min = *minute;
  }
  if (!text.empty()) {
    if (!TakeChar(text, ':')) return std::nullopt;
    const auto second = TakeNumber(text, 2, 0, 59);
    if (!second || !text.empty()) return std::nullopt;
    tm.tm_sec = *second;
  }
  tm.tm_year = *year - 1900;
  tm.tm_mon = *month - 1;
  tm.tm_mday = *day;
  tm.tm_isdst = -1;
  const std::time_t time = std::mktime(&tm);
  // mktime() makes the 2nd of March out of the 30th of February.
  if (tm.tm_mday != *day || tm.tm_mon != *month - 1) return std::nullopt;
  return time < 0 ? 0 : static_cast<uint64_t>(time);
}

std::optional<uint64_t> FindTime(std::string_view text, uint64_t now) {
  if (text.starts_with('@')) return ParseUnsigned(text.substr(1));
  std::optional<uint64_t> back;
  if (text.starts_with('-')) {
    back = ParseDuration(text.substr(1));
  } else if (text.ends_with(" ago")) {
    back = ParseDuration(text.substr(0, text.size() - 4));
  } else {
    return ParseLocalTime(text);
  }
  if (!back) return std::nullopt;
  return *back > now ? 0 : now - *back;
}

}  // namespace

Result<uint64_t> ParseSince(std::string_view text, uint64_t now) {
  if (const auto time = FindTime(text, now)) return *time;
  return Fail(ErrorCode::kInvalid,
              "'" + PrintableAscii(text, 80) +
                  "' is no time: allowed are 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM[:SS]', '@EPOCH', "
                  "'-2h' or '2h ago' (s, m, h, d)");
}

}  // namespace telem
