#include "record/http_codec.h"

#include <algorithm>
#include <initializer_list>

#include "base/text.h"

namespace telem {
namespace {

// RFC 9110, 5.6.2.
bool IsTokenChar(char c) {
  return IsPrintableAscii(c) && !std::string_view(" \"(),/:;<=>?@[\\]{}").contains(c);
}

std::optional<unsigned> HexDigit(char c) {
  const size_t digit = std::string_view("0123456789abcdef0123456789ABCDEF").find(c);
  if (digit == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(digit % 16);
}

// RFC 3986, 2.1.
std::optional<std::string> DecodePercent(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    const char c = text.front();
    text.remove_prefix(1);
    if (c != '%') {
      decoded += c;
      continue;
    }
    if (text.size() < 2) return std::nullopt;
    const auto high = HexDigit(text[0]);
    const auto low = HexDigit(text[1]);
    if (!high || !low) return std::nullopt;
    decoded += static_cast<char>(*high * 16 + *low);
    text.remove_prefix(2);
  }
  return decoded;
}

bool IsUrlOf(std::string_view url, std::initializer_list<std::string_view> schemes) {
  const bool has_scheme = std::any_of(schemes.begin(), schemes.end(), [&](std::string_view scheme) {
    return url.starts_with(scheme) && url.size() > scheme.size();
  });
  return has_scheme && IsPrintableAscii(url) && !url.contains(' ');
}

char Fold(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  return c == '-' ? '_' : c;
}

}  // namespace

bool IsHttpHeaderLine(std::string_view line) {
  if (line.size() > kMaxHeaderLine) return false;
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view name = line.substr(0, colon);
  return std::all_of(name.begin(), name.end(), IsTokenChar) &&
         std::none_of(line.begin(), line.end(), IsControl);
}

bool IsServerUrl(std::string_view url) { return IsUrlOf(url, {"http://", "https://"}); }

bool IsProxyUrl(std::string_view url) {
  return IsUrlOf(url, {"http://", "https://", "socks5://", "socks5h://"});
}

std::optional<std::vector<std::string>> ParseOtlpHeaders(std::string_view list) {
  if (list.size() > kMaxHeaderLine) return std::nullopt;
  std::vector<std::string> lines;
  while (!list.empty()) {
    std::string_view value = TakeUntil(list, ',');
    if (Trim(value).empty()) continue;
    if (!value.contains('=')) return std::nullopt;
    std::string line(Trim(TakeUntil(value, '=')));
    if (line.contains(':')) return std::nullopt;
    const auto decoded = DecodePercent(Trim(value));
    if (!decoded) return std::nullopt;
    line += ": ";
    line += *decoded;
    if (!IsHttpHeaderLine(line)) return std::nullopt;
    lines.push_back(std::move(line));
  }
  return lines;
}

bool SameHttpName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Fold(x) == Fold(y); });
}

std::optional<Header> FindHeaderByHttpName(std::string_view name) {
  for (size_t i = 0; i < kHeaderCount; ++i) {
    if (SameHttpName(name, kHeaderNames[i])) return static_cast<Header>(i);
  }
  return std::nullopt;
}

}  // namespace telem
