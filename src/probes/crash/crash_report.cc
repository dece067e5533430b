#include "probes/crash/crash_report.h"

#include <fnmatch.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "probes/crash/crash_analysis.h"

namespace telem {
namespace {

constexpr size_t kMaxLine = 4096;

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

bool IsReportText(std::string_view text) {
  if (!IsUtf8(text)) return false;
  while (!text.empty()) {
    const std::string_view line = TakeUntil(text, '\n');
    if (line.size() > kMaxLine) return false;
    if (std::any_of(line.begin(), line.end(), [](char c) { return IsControl(c); })) return false;
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
