#include "probes/kernel/stack_frame.h"

#include <cctype>

#include "base/text.h"

namespace telem {
namespace {

bool IsNameChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '$';
}

bool IsHexDigit(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

size_t CountHex(std::string_view text, size_t at) {
  size_t count = 0;
  while (at + count < text.size() && IsHexDigit(text[at + count])) ++count;
  return count;
}

void SkipBlanks(std::string_view& rest) {
  while (rest.starts_with(' ') || rest.starts_with('\t')) rest.remove_prefix(1);
}

// The length of "+0x45/0x57" at `at`; 0 when there is none.
size_t OffsetLength(std::string_view text, size_t at) {
  if (!text.substr(at).starts_with("+0x")) return 0;
  const size_t offset = CountHex(text, at + 3);
  const size_t slash = at + 3 + offset;
  if (offset == 0 || !text.substr(slash).starts_with("/0x")) return 0;
  const size_t size = CountHex(text, slash + 3);
  return size == 0 ? 0 : slash + 3 + size - at;
}

// "[<ffffffff81c01b4c>] ", "([<0000000000123456>] " or "[c0000000f7e1bbd0] ".
bool SkipAddress(std::string_view& rest) {
  std::string_view in = rest;
  if (in.starts_with("([")) in.remove_prefix(1);
  if (!in.starts_with('[')) return false;
  in.remove_prefix(1);
  const bool angled = in.starts_with('<');
  if (angled) in.remove_prefix(1);
  const size_t digits = CountHex(in, 0);
  if (digits < 8) return false;
  in.remove_prefix(digits);
  if (!in.starts_with(angled ? ">]" : "]")) return false;
  in.remove_prefix(angled ? 2 : 1);
  SkipBlanks(in);
  rest = in;
  return true;
}

// "<IRQ>", "</TASK>", "<<EOE>>", "<#DF>"
bool SkipTag(std::string_view& rest) {
  constexpr size_t kLongestTag = 12;
  if (!rest.starts_with('<')) return false;
  size_t end = rest.find('>');  // npos is longer than any tag
  if (end > kLongestTag) return false;
  while (end < rest.size() && rest[end] == '>') ++end;
  rest.remove_prefix(end);
  SkipBlanks(rest);
  return true;
}

std::string_view TakeName(std::string_view& rest) {
  size_t end = 0;
  while (end < rest.size() && IsNameChar(rest[end])) ++end;
  const std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  return name;
}

// " [ath9k]", " [ath9k 9f3b…]" (with a build id), " [nvidia(PO)]"
std::string_view TakeModule(std::string_view& rest) {
  std::string_view in = rest;
  SkipBlanks(in);
  if (!in.starts_with('[')) return {};
  const size_t end = in.find(']');
  if (end == std::string_view::npos) return {};
  std::string_view module = in.substr(1, end - 1);
  module = module.substr(0, module.find_first_of(" ("));
  for (const char c : module) {
    if (!IsNameChar(c) && c != '-') return {};
  }
  rest = in.substr(end + 1);
  return module;
}

// What arm prints: "(create_object) from [<c00c6764>] (__kmalloc+0x138/0x178)", and since 5.17
// "create_object from __kmalloc+0x138/0x178".
std::optional<StackFrame> ParseArmFrame(std::string_view in) {
  const bool bracket = in.starts_with('(');
  if (bracket) in.remove_prefix(1);
  StackFrame frame;
  frame.function = TakeName(in);
  if (const size_t length = OffsetLength(in, 0); length > 0) {
    frame.offset = in.substr(0, length);
    in.remove_prefix(length);
  }
  frame.module = TakeModule(in);
  if (bracket && !in.starts_with(')')) return std::nullopt;
  if (bracket) in.remove_prefix(1);
  if (frame.function.empty() || !in.starts_with(" from ")) return std::nullopt;
  in.remove_prefix(6);
  SkipAddress(in);
  if (in.starts_with('(')) in.remove_prefix(1);
  if (!TakeFunction(in)) return std::nullopt;
  return frame;
}

}  // namespace

std::optional<StackFrame> TakeFunction(std::string_view& rest) {
  std::string_view in = rest;
  SkipBlanks(in);
  while (SkipAddress(in)) {
  }
  if (in.starts_with('(')) in.remove_prefix(1);
  StackFrame frame;
  frame.function = TakeName(in);
  const size_t length = OffsetLength(in, 0);
  if (frame.function.empty() || length == 0) return std::nullopt;
  frame.offset = in.substr(0, length);
  in.remove_prefix(length);
  frame.module = TakeModule(in);
  if (in.starts_with(')')) in.remove_prefix(1);
  rest = in;
  return frame;
}

std::optional<StackFrame> ParseStackFrame(std::string_view text) {
  std::string_view in = text;
  SkipBlanks(in);
  bool certain = true;
  bool address = false;
  while (true) {
    if (in.starts_with("? ")) {
      certain = false;
      in.remove_prefix(2);
      SkipBlanks(in);
    } else if (SkipAddress(in)) {
      address = true;
    } else if (!SkipTag(in)) {
      break;
    }
  }
  if (auto arm = ParseArmFrame(in)) {
    arm->certain = certain;
    return arm;
  }
  auto frame = TakeFunction(in);
  if (!frame) return std::nullopt;
  frame->certain = certain;
  in = Trim(in);
  if (in == "(unreliable)") {
    frame->certain = false;
  } else if (!in.empty() && !address && !in.starts_with('(') && !in.starts_with('[')) {
    // A sentence that only starts with a function.
    return std::nullopt;
  }
  return frame;
}

std::string_view PlainName(std::string_view function) {
  if (function.starts_with('.')) function.remove_prefix(1);
  return function.substr(0, function.find('.'));
}

}  // namespace telem
