// Small things that parsers of text need. Nothing in here allocates unless it returns a string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace telem {

// Without blanks (space, tab, CR, LF) at either end.
std::string_view Trim(std::string_view text);

// Takes the text before the first `separator` off `rest`, the separator too. When there is none,
// takes all of it.
std::string_view TakeUntil(std::string_view& rest, char separator);

// Decimal digits only, no sign, no blanks, no overflow.
std::optional<uint64_t> ParseUnsigned(std::string_view text);

// As ParseUnsigned, with an optional `-` in front.
std::optional<int64_t> ParseSigned(std::string_view text);

void AppendUnsigned(std::string& out, uint64_t value);
void AppendSigned(std::string& out, int64_t value);

// 0x20..0x7e.
inline bool IsPrintableAscii(char c) { return c >= 0x20 && c <= 0x7e; }
bool IsPrintableAscii(std::string_view text);

// 0..0x1f and 0x7f.
inline bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool HasControl(std::string_view text);

// Appends `text` with a `?` in place of each control character.
void AppendMasked(std::string& out, std::string_view text);

// Whether `text` is exactly `length` digits of 0123456789abcdef.
bool IsLowerHex(std::string_view text, size_t length);

// Two lower-case digits a byte.
void AppendHex(std::string& out, const unsigned char* bytes, size_t size);

// The bytes of such digits; nothing when there is anything else in `hex`, or an odd number of them.
std::optional<std::string> ParseHex(std::string_view hex);

// `text` with every byte that is not printable ASCII replaced by `?`, cut at `limit` bytes.
std::string PrintableAscii(std::string_view text, size_t limit);

// Whether `text` is well-formed UTF-8 (no surrogates, no over-long forms).
bool IsUtf8(std::string_view text);

}  // namespace telem
