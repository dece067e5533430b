#include "probes/crash/crash_report.h"

#include <fnmatch.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "probes/crash/crash_analysis.h"

namespace telem {
namespace {

// A name, a module and a source file; or the ids of 200 threads.
constexpr size_t kMaxLine = 2400;

struct SignalName {
  int number;
  const char* name;
};
constexpr SignalName kSignals[] = {
    {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"},
    {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"}, {SIGTRAP, "SIGTRAP"},
    {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"},
};

struct CodeName {
  int signal;  // 0: of every signal
  int code;
  const char* name;
};
// sigaction(2)
constexpr CodeName kCodes[] = {
    {0, SI_USER, "SI_USER"},
    {0, SI_KERNEL, "SI_KERNEL"},
    {0, SI_QUEUE, "SI_QUEUE"},
    {0, SI_TKILL, "SI_TKILL"},
    {SIGILL, ILL_ILLOPC, "ILL_ILLOPC"},
    {SIGILL, ILL_ILLOPN, "ILL_ILLOPN"},
    {SIGILL, ILL_ILLADR, "ILL_ILLADR"},
    {SIGILL, ILL_ILLTRP, "ILL_ILLTRP"},
    {SIGILL, ILL_PRVOPC, "ILL_PRVOPC"},
    {SIGFPE, FPE_INTDIV, "FPE_INTDIV"},
    {SIGFPE, FPE_INTOVF, "FPE_INTOVF"},
    {SIGFPE, FPE_FLTDIV, "FPE_FLTDIV"},
    {SIGFPE, FPE_FLTOVF, "FPE_FLTOVF"},
    {SIGFPE, FPE_FLTINV, "FPE_FLTINV"},
    {SIGSEGV, SEGV_MAPERR, "SEGV_MAPERR"},
    {SIGSEGV, SEGV_ACCERR, "SEGV_ACCERR"},
    {SIGSEGV, SEGV_BNDERR, "SEGV_BNDERR"},
    {SIGSEGV, SEGV_PKUERR, "SEGV_PKUERR"},
    {SIGBUS, BUS_ADRALN, "BUS_ADRALN"},
    {SIGBUS, BUS_ADRERR, "BUS_ADRERR"},
    {SIGBUS, BUS_OBJERR, "BUS_OBJERR"},
    {SIGTRAP, TRAP_BRKPT, "TRAP_BRKPT"},
    {SIGTRAP, TRAP_TRACE, "TRAP_TRACE"},
    {SIGSYS, 1, "SYS_SECCOMP"},
};

std::string Line(std::string_view name, std::string_view value) {
  std::string line(name);
  line += ": ";
  // Names of files are bytes; what is no text of one line is made one.
  for (const char c : value.substr(0, 1024)) line += IsControl(c) ? '?' : c;
  if (!IsUtf8(line)) line = PrintableAscii(line, line.size());
  return line + '\n';
}

std::string_view ValueBehind(std::string_view text, std::string_view mark) {
  const size_t at = text.rfind(mark);
  if (at == std::string_view::npos) return "";
  text.remove_prefix(at + mark.size());
  return text.substr(0, text.find_first_of(" \n"));
}

// The last glob that matches decides, so that one can be the exception of another.
bool IsReported(std::string_view exe, std::string_view globs) {
  const std::string path(exe);
  bool reported = path.starts_with("/usr/") && !path.starts_with("/usr/local/");
  while (!globs.empty()) {
    std::string_view glob = Trim(TakeUntil(globs, ','));
    const bool except = glob.starts_with('!');
    if (except) glob.remove_prefix(1);
    if (::fnmatch(std::string(glob).c_str(), path.c_str(), 0) == 0) reported = !except;
  }
  return reported;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

bool IsNumber(std::string_view text) { return ParseUnsigned(text).has_value(); }

bool IsHex(std::string_view text) { return text.size() <= 64 && IsLowerHex(text, text.size()); }

// "0x1f"
bool IsAddress(std::string_view text) {
  return TakePrefix(text, "0x") && !text.empty() && text.size() <= 16 && IsHex(text);
}

// "[/usr/bin/example] +0x1f"
bool IsPlace(std::string_view text) {
  const size_t offset = text.rfind("] +");
  return text.starts_with('[') && offset != std::string_view::npos &&
         IsAddress(text.substr(offset + 3));
}

// "#0 parse_header() - [/usr/bin/example] - src/parse.c:120 +0x1139 (inlined)"
bool IsFrame(std::string_view line) {
  if (!TakePrefix(line, "#")) return false;
  const std::string_view number = TakeUntil(line, ' ');
  if (!IsNumber(number) || number.size() > 6) return false;
  TakeSuffix(line, " (inlined)");
  if (const size_t at = line.rfind(" +"); at != std::string_view::npos) {
    if (IsAddress(line.substr(at + 2))) line = line.substr(0, at);
  }
  const size_t module = line.find(" - [");
  if (module == std::string_view::npos || module == 0) return false;
  if (line.ends_with(']')) return true;
  const size_t file = line.find("] - ", module);
  return file != std::string_view::npos && IsNumber(line.substr(line.rfind(':') + 1));
}

// "(3 or more frames left out)"
bool IsLeftOut(std::string_view line, std::string_view what) {
  if (!TakePrefix(line, "(") || !TakeSuffix(line, " left out)") || !TakeSuffix(line, what)) {
    return false;
  }
  TakeSuffix(line, " or more");
  return IsNumber(line);
}

// "/usr/lib/example.so 5d1f 0x7f3a (deleted)"
bool IsModule(std::string_view line) {
  TakeSuffix(line, " (deleted)");
  const size_t address = line.rfind(' ');
  if (address == std::string_view::npos || !IsAddress(line.substr(address + 1))) return false;
  line = line.substr(0, address);
  const std::string_view build_id = line.substr(line.rfind(' ') + 1);
  return build_id.size() < line.size() &&
         (build_id == "-" || (!build_id.empty() && IsHex(build_id)));
}

// "rip [/usr/bin/example] +0x1f"
bool IsRegister(std::string_view line) {
  const std::string_view name = TakeUntil(line, ' ');
  return name.size() <= 4 && !name.empty() && (line == "memory" || IsPlace(line));
}

// "Backtrace (TID 1, 2 and 3 more):", "Registers (TID 1):"
bool IsHeading(std::string_view line, std::string_view word) {
  if (!TakePrefix(line, word) || !TakePrefix(line, " (TID ") || !TakeSuffix(line, "):")) {
    return false;
  }
  if (TakeSuffix(line, " more")) {
    const size_t more = line.rfind(" and ");
    if (more == std::string_view::npos || !IsNumber(line.substr(more + 5))) return false;
    line = line.substr(0, more);
  }
  while (line.contains(", ")) {
    if (!IsNumber(TakeUntil(line, ',')) || !TakePrefix(line, " ")) return false;
  }
  // Of a journal entry, it may be anything that a number can be.
  return ParseSigned(line).has_value();
}

// "Signature: s1:0123456789abcdef   exact: e1:0123456789abcdef"
bool IsSignatures(std::string_view line) {
  const auto is_signature = [](std::string_view word) {
    const std::string_view kind = TakeUntil(word, ':');
    return kind.size() >= 2 && kind.size() <= 4 && word.size() == 16 && IsHex(word);
  };
  if (!TakePrefix(line, "Signature: ") || !is_signature(TakeUntil(line, ' '))) return false;
  line = Trim(line);
  return TakePrefix(line, "exact: ") && is_signature(line);
}

}  // namespace

CrashKind KindOf(std::string_view exe, std::string_view globs, bool has_privacy_filters) {
  if (!has_privacy_filters) return kCrash;
  if (exe.starts_with("/builddir/build/BUILD/")) return kPackageBuild;
  return IsReported(exe, globs) ? kCrash : kThirdParty;
}

std::string DescribeSignal(int signal, const std::optional<SignalInfo>& info,
                           std::string_view address) {
  std::string text;
  AppendSigned(text, signal);
  for (const SignalName& known : kSignals) {
    if (known.number == signal) text += std::string(" (") + known.name + ")";
  }
  if (!info) return text;
  text += " code ";
  AppendSigned(text, info->code);
  for (const CodeName& known : kCodes) {
    if ((known.signal == 0 || known.signal == signal) && known.code == info->code) {
      text += std::string(" (") + known.name + ")";
      break;
    }
  }
  if (!address.empty()) text += " address " + std::string(address);
  return text;
}

std::string ReportHead(const CrashFacts& facts) {
  std::string head =
      Line("Process", facts.exe.empty() ? std::string_view(facts.name) : ShownModule(facts.exe));
  std::string pid;
  AppendSigned(pid, facts.pid);
  head += Line("PID", pid);
  // A process that is only looked into has none.
  if (facts.signal != 0) {
    head += Line("Signal", DescribeSignal(facts.signal, facts.signal_info, facts.address));
  }
  if (!facts.container.empty()) head += Line("Container", facts.container);
  if (!facts.unit.empty()) head += Line("Unit", facts.unit);
  return head;
}

bool IsPlainText(std::string_view text) {
  return IsUtf8(text) &&
         std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || !IsControl(c); });
}

bool IsReportText(std::string_view text) {
  if (!IsPlainText(text)) return false;
  constexpr size_t kMaxId = 300;  // of a build, and of a package with its version
  enum class Part { kHead, kNone, kStack, kModules, kRegisters } part = Part::kHead;
  while (!text.empty()) {
    const std::string_view line = TakeUntil(text, '\n');
    if (line.size() > kMaxLine) return false;
    std::string_view value = line;
    if (line.empty()) {
      part = Part::kNone;
    } else if (part == Part::kHead && line.size() <= kMaxId &&
               ((TakePrefix(value, "Build-ID: ") && IsHex(value)) ||
                TakePrefix(value, "Package: "))) {
      // Another such line may follow.
    } else if (part == Part::kNone && IsHeading(line, "Backtrace")) {
      part = Part::kStack;
    } else if (part == Part::kNone && line == "Modules:") {
      part = Part::kModules;
    } else if (part == Part::kNone && IsHeading(line, "Registers")) {
      part = Part::kRegisters;
    } else {
      const bool is_known =
          (part == Part::kStack && (IsFrame(line) || IsLeftOut(line, " frames"))) ||
          (part == Part::kModules && (IsModule(line) || IsLeftOut(line, " modules"))) ||
          (part == Part::kRegisters && IsRegister(line)) ||
          (part == Part::kNone &&
           (IsSignatures(line) || IsLeftOut(line, " threads") || line == kEndedEarly));
      if (!is_known) return false;
    }
  }
  return true;
}

std::string_view ExactSignatureOf(std::string_view text) { return ValueBehind(text, " exact: "); }

std::string_view StableSignatureOf(std::string_view text) {
  return ValueBehind(text, "\nSignature: ");
}

std::string WithPackage(std::string text, const CrashFacts& facts) {
  if (facts.package.empty() || text.contains("\nPackage: ") || text.starts_with("Package: ")) {
    return text;
  }
  size_t at = 0;
  if (text.starts_with("Build-ID: ")) at = text.find('\n') + 1;
  return text.insert(at, Line("Package", facts.package));
}

}  // namespace telem
