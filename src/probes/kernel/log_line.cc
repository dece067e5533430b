#include "probes/kernel/log_line.h"

#include <cstring>

namespace telem {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// How many digits `text` starts with, at `at`.
size_t CountDigits(std::string_view text, size_t at) {
  size_t count = 0;
  while (at + count < text.size() && IsDigit(text[at + count])) ++count;
  return count;
}

// Whether `text` starts like `shape`, in which 0 stands for a digit, a for a letter, and everything
// else but a blank (digit or space) for itself.
bool HasShape(std::string_view text, std::string_view shape) {
  if (text.size() < shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const char c = text[i];
    switch (shape[i]) {
      case '0':
        if (!IsDigit(c)) return false;
        break;
      case 'a':
        if (!IsAlpha(c)) return false;
        break;
      case '_':
        if (!IsDigit(c) && c != ' ') return false;
        break;
      default:
        if (c != shape[i]) return false;
    }
  }
  return true;
}

// "** 2395 printk messages dropped ** ": the next line follows without a newline.
void SkipDropped(std::string_view& rest) {
  constexpr std::string_view kDropped = " printk messages dropped ** ";
  if (!rest.starts_with("** ")) return;
  const size_t digits = CountDigits(rest, 3);
  if (rest.substr(3 + digits).starts_with(kDropped)) {
    rest.remove_prefix(3 + digits + kDropped.size());
  }
}

// "<4>", up to four digits: a facility may stand above the level.
void SkipLevel(std::string_view& rest) {
  if (!rest.starts_with('<')) return;
  const size_t digits = CountDigits(rest, 1);
  if (digits == 0 || digits > 4 || 1 + digits >= rest.size() || rest[1 + digits] != '>') return;
  rest.remove_prefix(digits + 2);
}

// "kern  :warn  : "
void SkipDecodedLevel(std::string_view& rest) {
  if (rest.size() > 15 && rest[6] == ':' && rest[13] == ':' && rest.starts_with("kern")) {
    rest.remove_prefix(15);
  }
}

// What syslog, or a program that wrote the log, put in front.
void SkipSyslog(std::string_view& rest) {
  constexpr std::string_view kKernel = "kernel: ";
  constexpr size_t kLongestHost = 80;
  size_t time = 0;
  if (HasShape(rest, "0000/00/00 00:00:00 ")) {
    rest.remove_prefix(20);
    return;
  }
  if (HasShape(rest, "aaa _0 00:00:00 ")) {
    time = 16;
  } else if (HasShape(rest, "0000-00-00T00:00:00")) {
    time = 19;
  } else {
    return;
  }
  const size_t kernel = rest.substr(0, time + kLongestHost).find(kKernel, time);
  if (kernel != std::string_view::npos) rest.remove_prefix(kernel + kKernel.size());
}

// "[  123.456789]" or "[Wed Nov 25 04:52:10 2026]".
void TakeTime(std::string_view& rest, LogLine& line) {
  constexpr size_t kLongestFraction = 9;
  if (!rest.starts_with('[')) return;
  if (HasShape(rest, "[aaa aaa _0 00:00:00 0000]")) {
    rest.remove_prefix(26);
    return;
  }
  size_t at = 1;
  while (at < rest.size() && rest[at] == ' ') ++at;
  const size_t whole = CountDigits(rest, at);
  if (whole == 0 || whole > 10 || at + whole >= rest.size() || rest[at + whole] != '.') return;
  const size_t fraction = CountDigits(rest, at + whole + 1);
  const size_t end = at + whole + 1 + fraction;
  if (fraction == 0 || fraction > kLongestFraction || end >= rest.size() || rest[end] != ']')
    return;
  uint64_t microseconds = 0;
  for (size_t i = 0; i < whole; ++i) microseconds = microseconds * 10 + (rest[at + i] - '0');
  for (size_t i = 0; i < 6; ++i) {
    const size_t digit = at + whole + 1 + i;
    microseconds = microseconds * 10 + (i < fraction ? rest[digit] - '0' : 0);
  }
  line.time_us = microseconds;
  rest.remove_prefix(end + 1);
}

// "[ T1234]" or "[    C1]" of CONFIG_PRINTK_CALLER; "c1   1234 " of Android's kernels.
void TakeCaller(std::string_view& rest, LogLine& line) {
  std::string_view in = rest;
  while (in.starts_with(' ')) in.remove_prefix(1);
  if (in.starts_with('[')) {
    size_t at = 1;
    while (at < in.size() && in[at] == ' ') ++at;
    if (at >= in.size() || (in[at] != 'T' && in[at] != 'C')) return;
    const size_t digits = CountDigits(in, at + 1);
    const size_t end = at + 1 + digits;
    if (digits == 0 || end >= in.size() || in[end] != ']') return;
    line.caller = in.substr(at, end - at);
    rest = in.substr(end + 1);
    return;
  }
  if (in.starts_with('c') && in.size() > 2 && IsDigit(in[1])) {
    size_t at = 1 + CountDigits(in, 1);
    const size_t blank = at;
    while (at < in.size() && in[at] == ' ') ++at;
    const size_t digits = CountDigits(in, at);
    const size_t end = at + digits;
    if (at == blank || digits == 0 || end >= in.size() || in[end] != ' ') return;
    line.caller = in.substr(at, digits);
    rest = in.substr(end);
  }
}

}  // namespace

LogLine SplitLogLine(std::string_view line) {
  LogLine split;
  std::string_view rest = line;
  while (!rest.empty() && (rest.back() == '\r' || rest.back() == '\n' || rest.back() == '\0')) {
    rest.remove_suffix(1);
  }
  SkipDropped(rest);
  SkipLevel(rest);
  if (!rest.empty() && rest[0] != '[') {
    SkipDecodedLevel(rest);
    SkipSyslog(rest);
  }
  TakeTime(rest, split);
  if (split.time_us) TakeCaller(rest, split);
  // One blank separates the prefix; more of them are indentation.
  if (rest.size() != line.size() && rest.starts_with(' ')) rest.remove_prefix(1);
  split.text = rest;
  return split;
}

}  // namespace telem
