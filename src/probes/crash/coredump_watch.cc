#include "probes/crash/coredump_watch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "base/text.h"
#include "config/consent.h"
#include "probes/common/event_id.h"
#include "probes/common/probe_main.h"
#include "probes/crash/crash_analysis.h"
#include "probes/crash/crash_probe.h"
#include "probes/crash/crash_report.h"
#include "probes/crash/crash_signature.h"
#include "probes/crash/live_process.h"
#include "telemetry.h"

namespace telem {
namespace {

// SD_MESSAGE_COREDUMP
constexpr char kCoredumpEntries[] = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";
constexpr size_t kMaxFrames = 256;
constexpr size_t kMaxModulesKept = 4096;
// systemd-coredump writes no more of a thread: the stack was deeper.
constexpr size_t kWrittenFrames = 64;

constexpr std::string_view kWanted[] = {
    "__CURSOR",
    "__REALTIME_TIMESTAMP",
    "MESSAGE",
    "COREDUMP_PID",
    "COREDUMP_COMM",
    "COREDUMP_EXE",
    "COREDUMP_SIGNAL",
    "COREDUMP_CGROUP",
    "COREDUMP_TID",
    "COREDUMP_PACKAGE_NAME",
    "COREDUMP_PACKAGE_VERSION",
    "_SYSTEMD_UNIT",
};

bool IsWanted(std::string_view name) {
  return std::find(std::begin(kWanted), std::end(kWanted), name) != std::end(kWanted);
}

std::string FieldOf(const JournalFields& fields, const char* name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

// Anybody may write an entry that looks like one of a crash. Whose it is, the journal has found out
// by itself.
bool IsFromSystemdCoredump(const JournalFields& fields) {
  return FieldOf(fields, "_SYSTEMD_UNIT").starts_with("systemd-coredump@");
}

int NumberOf(const JournalFields& fields, const char* name) {
  const auto number = ParseUnsigned(FieldOf(fields, name));
  return number && *number <= INT32_MAX ? static_cast<int>(*number) : 0;
}

// "0xHEX" to its value.
std::optional<uint64_t> ParseOffset(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  text.remove_prefix(2);
  uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

struct JournalFrame : SignatureFrame {
  uint64_t address = 0;
};

// "#3  0x00007f… function (module + 0xoffset)"
std::optional<JournalFrame> ParseFrame(std::string_view line) {
  line = Trim(line);
  if (!line.starts_with('#') || !line.ends_with(')')) return std::nullopt;
  TakeUntil(line, ' ');
  line = Trim(line);
  const auto address = ParseOffset(TakeUntil(line, ' '));
  const size_t open = line.rfind(" (");
  const size_t plus = line.rfind(" + ");
  if (open == std::string_view::npos || plus == std::string_view::npos || plus < open) {
    return std::nullopt;
  }
  JournalFrame frame;
  frame.address = address.value_or(0);
  const std::string_view function = Trim(line.substr(0, open));
  if (function != "n/a") frame.function = PrintableAscii(function, 1024);
  const std::string_view module = line.substr(open + 2, plus - open - 2);
  if (module != "n/a") frame.module = PrintableAscii(module, 512);
  const auto offset = ParseOffset(line.substr(plus + 3, line.size() - plus - 4));
  if (!offset) return std::nullopt;
  frame.offset = *offset;
  return frame;
}

std::string Hex(uint64_t value) {
  std::array<char, 17> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return "0x" + std::string(digits.data(), end.ptr);
}

std::string TextOfFrame(const SignatureFrame& frame, size_t number) {
  std::string text = "#";
  AppendUnsigned(text, number);
  text += " ";
  text += frame.function.empty() ? "???" : frame.function;
  if (!frame.function.empty() && !frame.function.contains('(')) text += "()";
  text += " - [" + (frame.module.empty() ? "unmapped" : ShownModule(frame.module)) + "]";
  return text + " +" + Hex(frame.offset) + "\n";
}

std::string LeftOut(size_t count, const char* what) {
  std::string text = "(";
  AppendUnsigned(text, count);
  return text + what;
}

using Thread = std::pair<int64_t, std::vector<SignatureFrame>>;

struct JournalModule {
  std::string build_id;
  uint64_t start = 0;
};
using JournalModules = std::map<std::string, JournalModule>;  // by the names that frames have

// As records of crashprobe's own have them.
std::string TextOfModules(const JournalModules& modules) {
  constexpr size_t kMaxText = size_t{40} * 1024;
  std::string text = "\nModules:\n";
  size_t count = 0;
  for (const auto& [name, module] : modules) {
    const std::string line = ShownModule(name) + " " +
                             (module.build_id.empty() ? "-" : module.build_id) + " " +
                             Hex(module.start) + "\n";
    if (text.size() + line.size() > kMaxText) {
      text += LeftOut(modules.size() - count, " modules left out)\n");
      break;
    }
    ++count;
    text += line;
  }
  return text;
}

// What does not fit is left out from the back.
std::string TextOfThreads(const std::vector<Thread>& threads) {
  constexpr size_t kMaxText = size_t{200} * 1024;  // modules and the head may take the rest
  std::string text;
  for (size_t i = 0; i < threads.size(); ++i) {
    const auto& [tid, frames] = threads[i];
    std::string stack = "\nBacktrace (TID ";
    AppendSigned(stack, tid);
    stack += "):\n";
    size_t shown = 0;
    while (shown < frames.size()) {
      const std::string line = TextOfFrame(frames[shown], shown);
      if (text.size() + stack.size() + line.size() > kMaxText) break;
      stack += line;
      ++shown;
    }
    if (shown > 0 || frames.empty()) text += stack;
    if (shown == frames.size()) continue;
    if (shown > 0) text += LeftOut(frames.size() - shown, " frames left out)\n");
    const size_t threads_left_out = threads.size() - i - (shown > 0 ? 1 : 0);
    if (threads_left_out > 0) text += "\n" + LeftOut(threads_left_out, " threads left out)\n");
    break;
  }
  return text;
}

class Watch {
 public:
  Watch(const CrashArguments& arguments, const Settings& settings)
      : arguments_(arguments),
        settings_(settings),
        cursor_path_(settings.cache_dir + "/coredump-cursor") {}

  int Follow(int from) {
    JournalExportReader reader;
    std::vector<char> buffer(size_t{64} * 1024);
    for (;;) {
      const ssize_t got = ::read(from, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return EXIT_SUCCESS;
      reader.Add({buffer.data(), static_cast<size_t>(got)});
      while (const auto fields = reader.Next()) {
        // The entry comes again when we are started again.
        if (const int result = Report(*fields); result != EXIT_SUCCESS) return result;
      }
    }
  }

  std::string Cursor() const {
    const auto text = ReadFile(cursor_path_, 4096);
    return text ? std::string(Trim(*text)) : "";
  }

 private:
  bool IsBeforeConsent(const JournalFields& fields) const {
    if (!arguments_.post) return false;  // shown to whoever asks
    const auto since = ReadConsentStart(settings_, started_);
    const auto when = ParseUnsigned(FieldOf(fields, "__REALTIME_TIMESTAMP"));
    return when && std::chrono::microseconds(*when) < since.time_since_epoch();
  }

  int Report(const JournalFields& fields) {
    if (arguments_.post && tm_is_opted_in() == 0) return EXIT_SUCCESS;
    const std::string exe = FieldOf(fields, "COREDUMP_EXE");
    const std::string cursor = FieldOf(fields, "__CURSOR");
    if (IsFromSystemdCoredump(fields) && !IsBeforeConsent(fields) && !exe.empty()) {
      CrashFacts facts;
      facts.name = FieldOf(fields, "COREDUMP_COMM");
      facts.exe = exe;
      facts.pid = NumberOf(fields, "COREDUMP_PID");
      facts.signal = NumberOf(fields, "COREDUMP_SIGNAL");
      const Origin origin = OriginOfCgroup(FieldOf(fields, "COREDUMP_CGROUP"));
      facts.container = origin.container;
      facts.unit = origin.unit;
      facts.package = FieldOf(fields, "COREDUMP_PACKAGE_NAME");
      if (const std::string version = FieldOf(fields, "COREDUMP_PACKAGE_VERSION");
          !facts.package.empty() && !version.empty()) {
        facts.package += " " + version;
      }
      const std::string text = ReportOfCoredumpMessage(FieldOf(fields, "MESSAGE"),
                                                       NumberOf(fields, "COREDUMP_TID"), exe);
      const std::string parts[] = {cursor, FieldOf(fields, "__REALTIME_TIMESTAMP"),
                                   FieldOf(fields, "COREDUMP_PID")};
      const int result =
          ReportKnownCrash(arguments_, settings_, facts, text, EventIdOf("coredump", parts));
      if (result != EXIT_SUCCESS) return result;
    }
    if (!arguments_.post) return EXIT_SUCCESS;
    const Status saved = ReplaceFile(cursor_path_, cursor + "\n", 0600);
    return saved ? EXIT_SUCCESS : Failure(kCrashProgram, saved.error().message);
  }

  const CrashArguments& arguments_;
  const Settings& settings_;
  std::string cursor_path_;
  // From when on crashes are told while nobody has written down since when there is consent.
  std::chrono::sys_seconds started_ = std::chrono::floor<std::chrono::seconds>(SystemClock().Now());
};

}  // namespace

std::optional<JournalFields> JournalExportReader::Next() {
  JournalFields fields;
  size_t at = 0;
  while (!is_damaged_ || SkipDamage()) {
    const size_t end = buffer_.find('\n', at);
    if (end == std::string::npos) break;
    if (end == at) {
      buffer_.erase(0, end + 1);
      if (!fields.empty()) return fields;
      at = 0;
      continue;
    }
    const std::string_view line = std::string_view(buffer_).substr(at, end - at);
    const size_t equals = line.find('=');
    if (equals != std::string_view::npos) {
      const std::string_view name = line.substr(0, equals);
      if (IsWanted(name)) fields[std::string(name)] = line.substr(equals + 1);
      at = end + 1;
      continue;
    }
    // The name alone: its value follows with its size in front.
    uint64_t size = 0;
    if (buffer_.size() - end - 1 < sizeof(size)) break;
    std::memcpy(&size, buffer_.data() + end + 1, sizeof(size));
    const size_t value = end + 1 + sizeof(size);
    if (size > kMaxEntry) {
      is_damaged_ = true;
      buffer_.erase(0, value);
      fields.clear();
      at = 0;
      continue;
    }
    if (buffer_.size() - value <= size) break;
    if (IsWanted(line)) fields[std::string(line)] = buffer_.substr(value, size);
    at = value + size + 1;
  }
  // Somebody's idea of filling our memory.
  if (buffer_.size() > 2 * kMaxEntry) is_damaged_ = true;
  return std::nullopt;
}

bool JournalExportReader::SkipDamage() {
  const size_t end = buffer_.find("\n\n");
  is_damaged_ = end == std::string::npos;
  // The second half of such an end may still come.
  buffer_.erase(0, !is_damaged_ ? end + 2 : buffer_.size() - (buffer_.ends_with('\n') ? 1 : 0));
  return !is_damaged_;
}

std::string ReportOfCoredumpMessage(std::string_view message, pid_t crashing_thread,
                                    std::string_view exe) {
  constexpr std::string_view kThread = "Stack trace of thread ";
  constexpr std::string_view kModule = "Module ";
  constexpr std::string_view kBuildId = " with build-id ";
  std::map<std::string, std::string> build_ids;
  JournalModules modules;
  std::vector<Thread> threads;
  while (!message.empty()) {
    const std::string_view line = Trim(TakeUntil(message, '\n'));
    if (line.starts_with(kModule) && line.contains(kBuildId)) {
      const size_t at = line.find(kBuildId);
      const std::string_view id = line.substr(at + kBuildId.size());
      if (!id.empty() && IsLowerHex(id, id.size()) && id.size() <= 64) {
        build_ids[PlainModule(line.substr(kModule.size(), at - kModule.size()))] = id;
      }
    } else if (line.starts_with(kThread)) {
      std::string_view rest = line.substr(kThread.size());
      threads.emplace_back(ParseSigned(TakeUntil(rest, ':')).value_or(0),
                           std::vector<SignatureFrame>());
    } else if (auto frame = ParseFrame(line);
               frame && !threads.empty() && threads.back().second.size() < kMaxFrames) {
      if (const auto id = build_ids.find(PlainModule(frame->module)); id != build_ids.end()) {
        frame->build_id = id->second;
      }
      if (!frame->module.empty() && modules.size() < kMaxModulesKept) {
        const uint64_t start = frame->address > frame->offset ? frame->address - frame->offset : 0;
        modules.try_emplace(frame->module, frame->build_id, start);
      }
      threads.back().second.push_back(std::move(*frame));
    }
  }
  const auto crashing = std::find_if(threads.begin(), threads.end(), [&](const auto& thread) {
    return crashing_thread != 0 && thread.first == crashing_thread;
  });
  if (crashing != threads.end()) std::rotate(threads.begin(), crashing, std::next(crashing));
  if (threads.empty() || threads.front().second.empty()) return "";
  std::string text;
  if (const auto id = build_ids.find(PlainModule(exe)); id != build_ids.end()) {
    text = "Build-ID: " + id->second + "\n";
  }
  text += TextOfThreads(threads) + TextOfModules(modules);
  CrashingStack stack;
  stack.frames = threads.front().second;
  stack.overflowed = stack.frames.size() >= kWrittenFrames;
  // The outermost frame is the program's _start.
  return text + "\nSignature: " + StableSignature(stack) +
         "   exact: " + ExactSignature(stack, PlainModule(stack.frames.back().module)) + "\n";
}

int WatchCoredumps(const CrashArguments& arguments, const Settings& settings) {
  Watch watch(arguments, settings);
  if (!arguments.core_file.empty()) {
    // What a journalctl of somebody's has written.
    const auto file = OpenAt(AT_FDCWD, arguments.core_file, O_RDONLY);
    if (!file) return Failure(kCrashProgram, file.error().message);
    return watch.Follow(file->get());
  }
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return Failure(kCrashProgram, std::strerror(errno));
  }
  UniqueFd from(pipe[0]);
  UniqueFd to(pipe[1]);
  const std::string cursor = watch.Cursor();
  // Where it has never looked, it begins with this boot: telemd may have come later.
  const std::string start = cursor.empty() ? "--boot" : "--after-cursor=" + cursor;
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(to.get(), STDOUT_FILENO);
    ::execlp("journalctl", "journalctl", "--follow", "--no-tail", "--quiet", "--output=export",
             start.c_str(), kCoredumpEntries, static_cast<char*>(nullptr));
    ::_exit(Failure(kCrashProgram, std::string("journalctl: ") + std::strerror(errno)));
  }
  if (child < 0) return Failure(kCrashProgram, std::strerror(errno));
  to.Reset();
  const int result = watch.Follow(from.get());
  ::kill(child, SIGTERM);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return result != EXIT_SUCCESS || (WIFEXITED(status) && WEXITSTATUS(status) == 0) ? result
                                                                                   : EXIT_FAILURE;
}

}  // namespace telem
