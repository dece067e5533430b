#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace telem {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

template <typename Number>
void AppendNumber(std::string& out, Number value) {
  char digits[24];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

// Records are looked at byte by byte a few times on their way, so eight bytes at a time.
constexpr uint64_t kEachByte = 0x0101010101010101;
constexpr uint64_t kTopBits = 0x80 * kEachByte;

// Not 0 when any of the eight bytes is a control character. (x - 1) & ~x has its top bit only for
// x = 0, or above such a byte; the same with 0x20 for x below 0x20.
uint64_t Controls(uint64_t bytes) {
  const uint64_t deletes = bytes ^ 0x7f * kEachByte;
  return (((bytes - 0x20 * kEachByte) & ~bytes) | ((deletes - kEachByte) & ~deletes)) & kTopBits;
}

// Whether `is_bad` finds nothing in all of `text`.
template <typename Test>
bool HasNone(std::string_view text, Test is_bad) {
  uint64_t bytes = ' ' * kEachByte;
  if (text.size() < sizeof bytes) {
    if (!text.empty()) std::memcpy(&bytes, text.data(), text.size());
    return is_bad(bytes) == 0;
  }
  const char* const last = text.data() + text.size() - sizeof bytes;
  for (const char* at = text.data(); at < last; at += sizeof bytes) {
    std::memcpy(&bytes, at, sizeof bytes);
    if (is_bad(bytes) != 0) return false;
  }
  std::memcpy(&bytes, last, sizeof bytes);  // some of them a second time
  return is_bad(bytes) == 0;
}

}  // namespace

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view TakeUntil(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return taken;
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) { return ParseNumber<uint64_t>(text); }

std::optional<int64_t> ParseSigned(std::string_view text) { return ParseNumber<int64_t>(text); }

void AppendUnsigned(std::string& out, uint64_t value) { AppendNumber(out, value); }

void AppendSigned(std::string& out, int64_t value) { AppendNumber(out, value); }

bool IsPrintableAscii(std::string_view text) {
  return HasNone(text, [](uint64_t bytes) { return Controls(bytes) | (bytes & kTopBits); });
}

bool HasControl(std::string_view text) { return !HasNone(text, Controls); }

void AppendMasked(std::string& out, std::string_view text) {
  const size_t start = out.size();
  out += text;
  if (HasControl(text)) {
    std::replace_if(out.begin() + static_cast<ptrdiff_t>(start), out.end(), IsControl, '?');
  }
}

bool IsLowerHex(std::string_view text, size_t length) {
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void AppendHex(std::string& out, const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const size_t start = out.size();
  out.resize(start + 2 * size);
  char* to = out.data() + start;
  for (size_t i = 0; i < size; ++i) {
    *to++ = kDigits[bytes[i] >> 4];
    *to++ = kDigits[bytes[i] & 0xf];
  }
}

std::optional<std::string> ParseHex(std::string_view hex) {
  if (hex.size() % 2 != 0 || !IsLowerHex(hex, hex.size())) return std::nullopt;
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (; !hex.empty(); hex.remove_prefix(2)) {
    bytes += static_cast<char>(value(hex[0]) * 16 + value(hex[1]));
  }
  return bytes;
}

std::string PrintableAscii(std::string_view text, size_t limit) {
  std::string out(text.substr(0, limit));
  for (char& c : out) {
    if (!IsPrintableAscii(c)) c = '?';
  }
  return out;
}

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < length) return false;
    const auto second = static_cast<unsigned char>(text[i + 1]);
    // The second byte's range is what rules out over-long forms, surrogates and above U+10FFFF.
    const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (size_t k = 2; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace telem
