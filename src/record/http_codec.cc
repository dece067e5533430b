#include "record/http_codec.h"

#include <algorithm>

#include "base/text.h"

namespace telem {
namespace {

// RFC 9110, 5.6.2.
bool IsTokenChar(char c) {
  return IsPrintableAscii(c) && !std::string_view(" \"(),/:;<=>?@[\\]{}").contains(c);
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
