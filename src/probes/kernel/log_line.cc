#include "probes/kernel/log_line.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "probes/kernel/kmsg_record.h"

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

// The length of "[Wed Nov 25 04:52:10 2026]", with day and month in any language; 0 where `text`
// does not start so.
size_t DateLength(std::string_view text) {
  constexpr std::string_view kTime = " 00:00:00 0000]";
  constexpr size_t kLongest = 48;
  const size_t end = text.substr(0, kLongest).find(']');
  if (end == std::string_view::npos || end + 1 < kTime.size()) return 0;
  return HasShape(text.substr(end + 1 - kTime.size()), kTime) ? end + 1 : 0;
}

// The length of "[  +0.000003]" or "[Nov25 04:52]" of dmesg -H: the time since the line before, and
// the minute where a new one begins, months in any language; 0 where `text` does not start so.
size_t RelativeTimeLength(std::string_view text) {
  constexpr std::string_view kMinute = "0 00:00]";
  constexpr size_t kLongest = 24;
  const size_t end = text.substr(0, kLongest).find(']');
  if (end == std::string_view::npos) return 0;
  size_t at = 1;
  while (text[at] == ' ') ++at;
  if (text[at] == '+') {
    const size_t whole = CountDigits(text, at + 1);
    const size_t point = at + 1 + whole;
    if (whole == 0 || text[point] != '.') return 0;
    const size_t fraction = CountDigits(text, point + 1);
    return fraction > 0 && point + 1 + fraction == end ? end + 1 : 0;
  }
  if (end < kMinute.size()) return 0;
  return HasShape(text.substr(end + 1 - kMinute.size()), kMinute) ? end + 1 : 0;
}

// Where " <    0.000003>" of dmesg -d ends, the time since the line before; `at` where there is
// none.
size_t SkipDelta(std::string_view text, size_t at) {
  constexpr size_t kLongest = 24;
  if (!text.substr(at).starts_with(" <")) return at;
  const size_t length = text.substr(at, kLongest).find('>');
  return length == std::string_view::npos ? at : at + length + 1;
}

// Of "123.456789" with so many digits in front of the point and behind it.
uint64_t Microseconds(std::string_view text, size_t whole, size_t fraction) {
  uint64_t microseconds = 0;
  for (size_t i = 0; i < whole; ++i) microseconds = microseconds * 10 + (text[i] - '0');
  for (size_t i = 0; i < 6; ++i) {
    microseconds = microseconds * 10 + (i < fraction ? text[whole + 1 + i] - '0' : 0);
  }
  return microseconds;
}

// "[  123.456789]", "[Wed Nov 25 04:52:10 2026]" and the like. Returns whether there was one.
bool TakeTime(std::string_view& rest, LogLine& line) {
  constexpr size_t kLongestFraction = 9;
  if (!rest.starts_with('[')) return false;
  size_t at = 1;
  while (at < rest.size() && rest[at] == ' ') ++at;
  const size_t whole = CountDigits(rest, at);
  if (whole == 0) {
    size_t length = DateLength(rest);
    if (length == 0) length = RelativeTimeLength(rest);
    rest.remove_prefix(length);
    return length > 0;
  }
  if (whole > 10 || at + whole >= rest.size() || rest[at + whole] != '.') return false;
  const size_t fraction = CountDigits(rest, at + whole + 1);
  size_t end = SkipDelta(rest, at + whole + 1 + fraction);
  if (end < rest.size() && rest[end] == 's') ++end;  // "[ 1265.591230s]" of some vendors
  if (fraction == 0 || fraction > kLongestFraction || end >= rest.size() || rest[end] != ']')
    return false;
  line.time_us = Microseconds(rest.substr(at), whole, fraction);
  rest.remove_prefix(end + 1);
  return true;
}

// "60842.120183] text": whoever copied the log missed the first bracket, in every line or one.
bool TakeTimeWithoutBracket(std::string_view& rest, LogLine& line) {
  constexpr size_t kFraction = 6;
  constexpr size_t kLongestWhole = 10;
  size_t at = 0;
  while (at < rest.size() && rest[at] == ' ') ++at;
  const size_t whole = CountDigits(rest, at);
  if (whole == 0 || whole > kLongestWhole) return false;
  const std::string_view in = rest.substr(at);
  if (!HasShape(in.substr(whole), ".000000]")) return false;
  line.time_us = Microseconds(in, whole, kFraction);
  rest = in.substr(whole + kFraction + 2);
  return true;
}

// "2026-11-25T04:52:10,123456+01:00 " of dmesg --time-format iso, and of what collects consoles.
void SkipIsoTime(std::string_view& rest) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (!HasShape(rest, kShape)) return;
  size_t at = kShape.size();
  if (at < rest.size() && (rest[at] == ',' || rest[at] == '.')) at += 1 + CountDigits(rest, at + 1);
  if (HasShape(rest.substr(at), "+00:00") || HasShape(rest.substr(at), "-00:00")) at += 6;
  if (at < rest.size() && rest[at] == 'Z') ++at;
  if (at >= rest.size() || rest[at] != ' ') return;
  rest.remove_prefix(at + 1);
}

// "6,339,5140900,-,caller=T12;text": a record as the kernel hands it out. What processes wrote into
// the kernel's log is left as it is.
bool TakeRecord(std::string_view text, LogLine& line) {
  // The kernel's own priorities have one digit.
  if (text.size() < 2 || text[1] != ',' || !IsDigit(text[0])) return false;
  const std::optional<KmsgRecord> record = ParseKmsgRecord(text);
  if (!record || record->priority >= kFirstForeignPriority) return false;
  line.time_us = record->time_us;
  line.caller = record->caller;
  line.text = record->text;
  return true;
}

// "Nov 25 04:52:10 host 6,339,5140900,-;text" of who collects records; `rest` starts behind the
// time.
bool TakeRecordBehindHost(std::string_view rest, LogLine& line) {
  TakeUntil(rest, ' ');
  TakeUntil(rest, ' ');
  return TakeRecord(rest, line);
}

// " 000000000004a8c0 g1: …"
bool IsHexNumber(std::string_view text) {
  constexpr size_t kShortest = 8;
  constexpr std::string_view kDigits = "0123456789abcdef";
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text.size() >= kShortest &&
         text.substr(0, kShortest).find_first_not_of(kDigits) == std::string_view::npos;
}

// Whether `text`, behind the name of a host, starts with the name of a program: "sshd[812]: ". The
// kernel's own words in front of a colon are in capitals, or are names of registers.
bool HasTagOfProgram(std::string_view text) {
  constexpr std::string_view kKernelWords[] = {"Pid:",  "Oops:",  "Oops[#",
                                               "Code:", "Stack:", "Caller["};
  constexpr size_t kLongestRegister = 3;
  const std::string_view word = text.substr(0, text.find(' '));
  if (!word.ends_with(':')) return false;
  if (std::any_of(std::begin(kKernelWords), std::end(kKernelWords),
                  [&](std::string_view kernels) { return word.starts_with(kernels); })) {
    return false;
  }
  const std::string_view name = word.substr(0, word.size() - 1);
  if (std::all_of(name.begin(), name.end(),
                  [](char c) { return (c >= 'A' && c <= 'Z') || IsDigit(c); })) {
    return false;
  }
  return name.size() > kLongestRegister || !IsHexNumber(text.substr(word.size()));
}

// "host text" and "host vmunix: text", of a syslog that tags the kernel's lines in another way, or
// not at all; `time`: where the time ends.
void SkipHost(std::string_view& rest, size_t time) {
  constexpr std::string_view kOtherTag = "vmunix: ";
  constexpr size_t kLongestHost = 64;
  std::string_view in = rest.substr(time);
  if (!in.starts_with(' ')) return;
  in.remove_prefix(1);
  const size_t host = in.substr(0, kLongestHost).find(' ');
  if (host == std::string_view::npos || host == 0 || in[host - 1] == ':' || in[0] == '[') return;
  in.remove_prefix(host + 1);
  if (in.starts_with(kOtherTag)) {
    in.remove_prefix(kOtherTag.size());
  } else if (HasTagOfProgram(in)) {
    return;
  }
  rest = in;
}

// What syslog, or a program that wrote the log, put in front.
void SkipSyslog(std::string_view& rest, LogLine& line) {
  constexpr std::string_view kKernel = "kernel:";  // syslogd writes no blank behind it
  constexpr size_t kLongestHost = 80;
  constexpr std::string_view kTime = "00:00:00";
  constexpr size_t kLongestDate = 24;  // names of months are of any language
  if (HasShape(rest, "0000/00/00 00:00:00 ")) {
    rest.remove_prefix(20);
    return;
  }
  size_t time = 0;
  while (time < kLongestDate && !HasShape(rest.substr(std::min(time, rest.size())), kTime)) ++time;
  if (time == kLongestDate) return;
  time += kTime.size();
  const size_t kernel = rest.substr(0, time + kLongestHost).find(kKernel, time);
  if (kernel == std::string_view::npos) {
    // Most lines have no comma there, and need no closer look.
    if (rest.substr(time, kLongestHost).contains(',') &&
        TakeRecordBehindHost(rest.substr(time), line)) {
      return;
    }
    constexpr size_t kShortestDate = 15;  // "Nov 25 04:52:10"
    if (time >= kShortestDate && !IsDigit(rest[0])) return SkipHost(rest, time);
    SkipIsoTime(rest);
    std::string_view level = rest;
    while (level.starts_with(' ')) level.remove_prefix(1);
    SkipDecodedLevel(level);
    if (level.size() + 15 <= rest.size()) rest = level;
    return;
  }
  rest.remove_prefix(kernel + kKernel.size());
  if (rest.starts_with(' ')) rest.remove_prefix(1);
}

// "kernel: text": of the journal or syslog, by somebody who left out time and host.
void SkipTag(std::string_view& rest) {
  constexpr std::string_view kTag = "kernel: ";
  // The blank stays, for whoever looks at indentation.
  if (rest.starts_with(kTag)) rest.remove_prefix(kTag.size() - 1);
}

// What a console had printed before the kernel did: "login: [  185.138583] text".
void SkipConsole(std::string_view& rest) {
  constexpr size_t kLongest = 64;
  for (size_t at = rest.substr(0, kLongest).find('['); at < kLongest;
       at = rest.substr(0, kLongest).find('[', at + 1)) {
    std::string_view from = rest.substr(at);
    LogLine line;
    if (!TakeTime(from, line) || !line.time_us) continue;
    rest.remove_prefix(at);
    return;
  }
}

// `in`: "pid:1234,cpu1,name]text"
void TakeCallerOfVendor(std::string_view& rest, std::string_view in, LogLine& line) {
  constexpr size_t kLongest = 48;  // names of tasks are short
  constexpr size_t kDigits = 4;    // behind "pid:"
  const size_t digits = CountDigits(in, kDigits);
  const size_t end = in.substr(0, kLongest).find(']');
  if (digits == 0 || end == std::string_view::npos) return;
  if (!in.substr(kDigits + digits).starts_with(",cpu")) return;
  line.caller = in.substr(kDigits, digits);
  rest = in.substr(end + 1);
}

// `in`: "[1:  kworker/1:1:   32] text", processor, task and its number.
bool TakeCallerWithProcessor(std::string_view& rest, std::string_view in, LogLine& line) {
  constexpr size_t kLongest = 48;
  const size_t processor = CountDigits(in, 1);
  const size_t end = in.substr(0, kLongest).find(']');
  if (processor == 0 || end == std::string_view::npos || in[1 + processor] != ':') return false;
  size_t digit = end;
  while (IsDigit(in[digit - 1])) --digit;
  size_t colon = digit - 1;
  while (in[colon] == ' ') --colon;
  if (digit == end || in[colon] != ':' || colon == 1 + processor) return false;
  line.caller = in.substr(digit, end - digit);
  rest = in.substr(end + 1);
  return true;
}

// `in`: "(1)[32:kworker/1:1]text", processor, number of the task and its name.
bool TakeCallerBehindProcessor(std::string_view& rest, std::string_view in, LogLine& line) {
  constexpr size_t kLongest = 40;
  if (in.starts_with('-')) in.remove_prefix(1);  // interrupts are off
  if (!in.starts_with('(')) return false;
  const size_t processor = 1 + CountDigits(in, 1);
  if (processor == 1 || !in.substr(processor).starts_with(")[")) return false;
  const size_t task = processor + 2;
  const size_t digits = CountDigits(in, task);
  const size_t end = in.substr(0, task + kLongest).find(']', task);
  if (digits == 0 || end == std::string_view::npos || in[task + digits] != ':') return false;
  line.caller = in.substr(task, digits);
  rest = in.substr(end + 1);
  return true;
}

// " (swapper/0)" behind the number of a task.
void SkipTaskName(std::string_view& rest) {
  constexpr size_t kLongest = 20;
  if (!rest.starts_with(" (")) return;
  const size_t end = rest.substr(0, kLongest).find(") ");
  if (end != std::string_view::npos) rest.remove_prefix(end + 1);
}

// "[ T1234]" or "[    C1]" of CONFIG_PRINTK_CALLER; "[pid:1234,cpu1,name]", "c1   1234 ",
// "c1 1234 (name) ", "I[1: name: 1234]" and "(1)[1234:name]" of kernels that vendors have changed.
void TakeCaller(std::string_view& rest, LogLine& line) {
  std::string_view in = rest;
  while (in.starts_with(' ')) in.remove_prefix(1);
  if (in.empty()) return;
  const size_t letter = in[0] >= 'A' && in[0] <= 'Z' ? 1 : 0;
  if (in.substr(letter).starts_with('[') &&
      TakeCallerWithProcessor(rest, in.substr(letter), line)) {
    return;
  }
  if ((in[0] == '(' || in[0] == '-') && TakeCallerBehindProcessor(rest, in, line)) return;
  if (in.starts_with('[')) {
    size_t at = 1;
    while (at < in.size() && in[at] == ' ') ++at;
    if (in.substr(at).starts_with("pid:")) return TakeCallerOfVendor(rest, in.substr(at), line);
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
    SkipTaskName(rest);
  }
}

// "host kernel: " behind the time, of journalctl --output=short-monotonic.
void SkipHostAndTag(std::string_view& rest) {
  constexpr std::string_view kTag = " kernel: ";
  constexpr size_t kLongestHost = 64;
  if (rest.size() < 2 || rest[1] == ' ') return;
  const size_t host = rest.substr(0, kLongestHost).find(' ', 1);
  if (host == std::string_view::npos || !rest.substr(host).starts_with(kTag)) return;
  rest.remove_prefix(host + kTag.size() - 1);
}

// The length of "[2026-11-25 04:52:10.123]" and "[04:52:10]", of programs that read consoles; 0
// where `text` does not start so.
size_t ClockLength(std::string_view text) {
  size_t at = 0;
  for (const std::string_view shape :
       {"[0000-00-00 00:00:00", "[0000-00-00T00:00:00", "[00:00:00"}) {
    if (HasShape(text, shape)) at = shape.size();
  }
  if (at == 0) return 0;
  if (at < text.size() && (text[at] == '.' || text[at] == ',')) at += 1 + CountDigits(text, at + 1);
  if (at < text.size() && text[at] == 'Z') ++at;
  return text.substr(at).starts_with("] ") ? at + 1 : 0;
}

// The brackets that stand where the time should: "[]" and "[ ]" of who took the times out,
// "[guest/uart0]" of who relays consoles (the time follows), "[    T12]" of a kernel that prints
// who printed but not when.
void SkipBrackets(std::string_view& rest, LogLine& line) {
  constexpr size_t kLongest = 48;
  if (const size_t length = ClockLength(rest); length > 0) {
    rest.remove_prefix(length + 1);
    // Some put two blanks; where no time follows they may be the kernel's.
    std::string_view behind = rest;
    while (behind.starts_with(' ')) behind.remove_prefix(1);
    if (!TakeTime(behind, line)) return;
    rest = behind;
    TakeCaller(rest, line);
    return;
  }
  const size_t end = rest.substr(0, kLongest).find(']');
  if (end == std::string_view::npos) return;
  const std::string_view in = rest.substr(1, end - 1);
  std::string_view behind = rest.substr(end + 1);
  if (in.find_first_not_of(' ') == std::string_view::npos) {
    if (behind.size() < 2 || (behind[0] != ' ' && behind[0] != '[')) return;
    rest = behind;
    TakeCaller(rest, line);
    return;
  }
  if (in.ends_with('>')) return;  // an address
  while (behind.starts_with(' ')) behind.remove_prefix(1);
  if (TakeTime(behind, line)) {
    rest = behind;
    return TakeCaller(rest, line);
  }
  std::string_view caller = rest;
  TakeCaller(caller, line);
  if (caller.size() < rest.size() && caller.starts_with(' ')) {
    rest = caller;
  } else {
    line.caller = {};
  }
}

// "00045 text": a column of numbers, of test systems that count the seconds of a console. "00:
// text": the processor, on the console of z/VM.
void SkipColumn(std::string_view& rest) {
  for (const std::string_view shape : {"00000 ", "00: "}) {
    if (!HasShape(rest, shape) || rest.size() == shape.size()) continue;
    rest.remove_prefix(shape.size() - 1);
    return;
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
    if (TakeRecord(rest, split)) return split;
    SkipTag(rest);
    SkipDecodedLevel(rest);
    SkipSyslog(rest, split);
    if (split.time_us) return split;
    if (!rest.empty() && rest[0] != '[' && !TakeTimeWithoutBracket(rest, split)) {
      SkipConsole(rest);
      SkipColumn(rest);
    }
  }
  if (split.time_us) {
    TakeCaller(rest, split);
  } else if (rest.starts_with('[')) {
    if (TakeTime(rest, split)) {
      SkipLevel(rest);
      TakeCaller(rest, split);
      SkipHostAndTag(rest);
    } else {
      SkipBrackets(rest, split);
    }
  }
  // One blank separates the prefix; more of them are indentation.
  if (rest.size() != line.size() && rest.starts_with(' ')) rest.remove_prefix(1);
  split.text = rest;
  return split;
}

}  // namespace telem
