#include "ctl/terminal_text.h"

#include "base/text.h"

namespace telem {
namespace {

// U+0080..U+009F, two bytes in UTF-8: some terminals obey them like ESC sequences.
bool StartsWithC1(std::string_view text) {
  if (text.size() < 2) return false;
  const auto second = static_cast<unsigned char>(text[1]);
  return text[0] == '\xc2' && second >= 0x80 && second <= 0x9f;
}

std::string Replaced(std::string_view text, std::string_view kept_controls) {
  const bool utf8 = IsUtf8(text);
  std::string out;
  while (!text.empty()) {
    const char c = text.front();
    size_t taken = 1;
    if (utf8 && StartsWithC1(text)) {
      out += '?';
      taken = 2;
    } else if ((IsControl(c) && !kept_controls.contains(c)) ||
               (!utf8 && static_cast<unsigned char>(c) >= 0x80)) {
      out += '?';
    } else {
      out += c;
    }
    text.remove_prefix(taken);
  }
  return out;
}

}  // namespace

std::string TerminalLine(std::string_view text) { return Replaced(text, ""); }

std::string TerminalBlock(std::string_view text) { return Replaced(text, "\n\t"); }

std::string TerminalJson(std::string_view json) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  while (!json.empty()) {
    const bool is_c1 = StartsWithC1(json);
    if (is_c1 || json.front() == 0x7f) {
      const auto byte = static_cast<unsigned char>(json[is_c1 ? 1 : 0]);
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 0xf];
    } else {
      out += json.front();
    }
    json.remove_prefix(is_c1 ? 2 : 1);
  }
  return out;
}

}  // namespace telem
