#include "probes/kernel/stack_frame.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/text.h"

namespace telem {
namespace {

bool IsNameChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '$';
}

bool IsModuleName(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return IsNameChar(c) || c == '-'; });
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

// The decimal offset "+155" at `at` of x86_64 before 2.6.18; 0 when there is none.
size_t DecimalOffsetLength(std::string_view text, size_t at) {
  if (!text.substr(at).starts_with('+')) return 0;
  size_t end = at + 1;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  return end == at + 1 ? 0 : end - at;
}

// "[<ffffffff81c01b4c>] ", "([<0000000000123456>] ", "[c0000000f7e1bbd0] ", "<ffffffff81c01b4c>" of
// x86 in 2.6, "Caller[00000000004342ac]: " of sparc, and "[] " where the address got lost.
bool SkipAddress(std::string_view& rest) {
  constexpr std::string_view kCaller = "Caller[";
  std::string_view in = rest;
  if (in.starts_with("[] ")) {
    in.remove_prefix(3);
    SkipBlanks(in);
    rest = in;
    return true;
  }
  if (in.starts_with('<')) {
    const size_t digits = CountHex(in, 1);
    if (digits < 8 || !in.substr(1 + digits).starts_with('>')) return false;
    in.remove_prefix(digits + 2);
    SkipBlanks(in);
    rest = in;
    return true;
  }
  const bool caller = in.starts_with(kCaller);
  if (caller) in.remove_prefix(kCaller.size() - 1);
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
  if (caller && in.starts_with(':')) in.remove_prefix(1);
  SkipBlanks(in);
  rest = in;
  return true;
}

std::string_view TakeName(std::string_view& rest) {
  size_t end = 0;
  while (end < rest.size() && IsNameChar(rest[end])) ++end;
  const std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  return name;
}

// ":ath9k:" in front of a function, of x86_64 before 2.6.27.
std::string_view TakeModuleInFront(std::string_view& rest) {
  if (!rest.starts_with(':')) return {};
  const size_t end = rest.find(':', 1);
  if (end == std::string_view::npos) return {};
  const std::string_view module = rest.substr(1, end - 1);
  if (!IsModuleName(module)) return {};
  rest.remove_prefix(end + 1);
  return module;
}

// "{schedule+236}" and "{:ath9k:ath9k_tasklet+26}", of x86_64 before 2.6.18.
std::optional<StackFrame> TakeBracedFunction(std::string_view& rest) {
  std::string_view in = rest;
  if (!in.starts_with('{')) return std::nullopt;
  in.remove_prefix(1);
  StackFrame frame;
  frame.module = TakeModuleInFront(in);
  frame.function = TakeName(in);
  const size_t length = DecimalOffsetLength(in, 0);
  if (frame.function.empty() || length == 0) return std::nullopt;
  frame.offset = in.substr(0, length);
  in.remove_prefix(length);
  if (!in.starts_with('}')) return std::nullopt;
  in.remove_prefix(1);
  rest = in;
  return frame;
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

// " [ath9k]", " [ath9k 9f3b…]" (with a build id), " [nvidia(PO)]"
std::string_view TakeModule(std::string_view& rest) {
  std::string_view in = rest;
  SkipBlanks(in);
  if (!in.starts_with('[')) return {};
  const size_t end = in.find(']');
  if (end == std::string_view::npos) return {};
  std::string_view module = in.substr(1, end - 1);
  module = module.substr(0, module.find_first_of(" ("));
  if (!IsModuleName(module)) return {};
  rest = in.substr(end + 1);
  return module;
}

// What programs put behind the function that look its source up: "lib/dump_stack.c:113", and
// behind a function whose code is a part of the next one's "lib/dump_stack.c:77 [inline]".
bool IsSourceLine(std::string_view text) {
  constexpr std::string_view kInline = " [inline]";
  if (text == "??:?") return true;  // it was not found
  if (text.ends_with(kInline)) text.remove_suffix(kInline.size());
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size() || text.contains(' '))
    return false;
  return text.contains('.') &&
         text.substr(colon + 1).find_first_not_of("0123456789?") == std::string_view::npos;
}

// "net/tipc/socket.c:2236 net/tipc/socket.c:2362 (discriminator 2)"
bool AreSourceLines(std::string_view places) {
  while (!(places = Trim(places)).empty()) {
    const std::string_view word = TakeUntil(places, ' ');
    const bool discriminator =
        word == "(discriminator" ||
        (word.ends_with(')') && word.find_first_not_of("0123456789)") == std::string_view::npos);
    if (!discriminator && !IsSourceLine(word)) return false;
  }
  return true;
}

// What scripts/decode_stacktrace.sh of the kernel makes of a frame: "tipc_connect
// (net/tipc/socket.c:2570) tipc", with more places where functions are inlined.
std::optional<StackFrame> ParseDecodedFrame(std::string_view in) {
  StackFrame frame;
  frame.function = TakeName(in);
  if (frame.function.empty() || !in.starts_with(" (")) return std::nullopt;
  const size_t end = in.rfind(')');
  if (end == std::string_view::npos || !AreSourceLines(in.substr(2, end - 2))) return std::nullopt;
  in = Trim(in.substr(end + 1));
  if (in.find_first_of(" :") != std::string_view::npos) return std::nullopt;
  frame.module = in.starts_with('[') ? TakeModule(in) : in;
  if (!IsModuleName(frame.module)) return std::nullopt;
  return frame;
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
  if (auto braced = TakeBracedFunction(in)) {
    rest = in;
    return braced;
  }
  if (in.starts_with('(')) in.remove_prefix(1);
  StackFrame frame;
  frame.module = TakeModuleInFront(in);
  frame.function = TakeName(in);
  const size_t length = OffsetLength(in, 0);
  if (frame.function.empty() || length == 0) return std::nullopt;
  frame.offset = in.substr(0, length);
  in.remove_prefix(length);
  if (frame.module.empty()) frame.module = TakeModule(in);
  if (in.starts_with(')')) in.remove_prefix(1);
  rest = in;
  return frame;
}

std::optional<StackFrame> ParseStackFrame(std::string_view text) { return TakeStackFrame(text); }

std::optional<StackFrame> TakeStackFrame(std::string_view& rest) {
  std::string_view in = std::exchange(rest, {});
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
  if (!frame) frame = ParseDecodedFrame(in);
  if (!frame) return std::nullopt;
  frame->certain = certain;
  in = Trim(in);
  if (address && (in.starts_with("[<") || in.starts_with('<'))) rest = in;
  // A call never returns to a function's start: that was left over on the stack.
  const bool is_start = address && frame->offset.starts_with("+0x0/");
  if (in == "(unreliable)" || is_start) {
    frame->certain = false;
  } else if (!in.empty() && !address && !in.starts_with('(') && !in.starts_with('[') &&
             !IsSourceLine(in) && !frame->offset.empty()) {
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
