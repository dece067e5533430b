#include "probes/crash/crash_probe.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/record_outlet.h"
#include "probes/crash/core_forward.h"
#include "probes/crash/core_pattern.h"
#include "probes/crash/core_socket.h"
#include "probes/crash/crash_analysis.h"
#include "probes/crash/crash_counts.h"
#include "probes/crash/crash_evidence.h"
#include "probes/crash/crash_report.h"
#include "probes/crash/crash_turn.h"
#include "probes/crash/file_opener.h"
#include "probes/crash/package_database.h"
#include "probes/crash/running_process.h"
#include "probes/crash/sandbox.h"
#include "record/headers.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

constexpr char kUser[] = "telemetry";
constexpr char kPackages[] = "/var/lib/dpkg";

// What the head of a payload may need.
constexpr size_t kMaxHead = size_t{4} * 1024;

// How long a crash waits while two others are looked into. Its process waits, too.
constexpr milliseconds kPatience{2000};

int Failed(std::string_view what) { return Failure(kCrashProgram, what); }

// From here on with the rights of telemd's user. Root stays root on a machine that has none.
void BecomeTelemetry() {
  if (::geteuid() != 0) return;
  const passwd* user = ::getpwnam(kUser);
  if (user == nullptr) return;
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  if (::setgroups(1, &gid) != 0 || ::setresgid(gid, gid, gid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    std::exit(Failed("cannot become telemetry"));
  }
  ::prctl(PR_SET_DUMPABLE, 0);
}

// A crash of ours is nobody's case: the kernel starts no handler for a process with a core limit of
// 1 (that is what it gives its handlers), and none for one that is not dumpable.
void GuardAgainstOurselves() {
  const rlimit one{1, 1};
  ::setrlimit(RLIMIT_CORE, &one);
  ::prctl(PR_SET_DUMPABLE, 0);
}

bool IsOurselves(const std::string& exe) {
  std::array<char, PATH_MAX> own{};
  const ssize_t size = ::readlink("/proc/self/exe", own.data(), own.size());
  return size > 0 && exe == std::string_view(own.data(), static_cast<size_t>(size));
}

// Lets go of the kernel's pipe or socket, and so of the process.
void LetProcessGo() {
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::dup2(nothing.get(), STDIN_FILENO);
}

bool HasPrivacyFilters(const Settings& settings) {
  const std::string marker = settings.config_dir + "/opt-in-no-privacy-filters";
  return ::faccessat(AT_FDCWD, marker.c_str(), F_OK, AT_EACCESS) != 0;
}

SandboxLimits LimitsOfSandbox() {
  SandboxLimits limits;
  if (const passwd* user = ::getpwnam(kUser)) {
    limits.uid = user->pw_uid;
    limits.gid = user->pw_gid;
  }
  return limits;
}

std::string MishapOf(const SandboxOutcome& outcome, const SandboxLimits& limits) {
  std::string text;
  switch (outcome.end) {
    case SandboxEnd::kDone:
      break;
    case SandboxEnd::kKilled:
      text = outcome.signal != 0 ? "ended by signal " : "could not start";
      if (outcome.signal != 0) AppendSigned(text, outcome.signal);
      break;
    case SandboxEnd::kTooLong:
      text = "ended after ";
      AppendSigned(text, std::chrono::duration_cast<std::chrono::seconds>(limits.time).count());
      text += " s, the longest it may take";
      break;
    case SandboxEnd::kTooMuchMemory:
      text = "ended at ";
      AppendUnsigned(text, limits.memory / (1024 * 1024));
      text += " MiB, the most memory it may take";
  }
  return text;
}

struct Analysis {
  std::string text;                 // empty when there is none
  std::string mishap;               // what went wrong, for the record; may be empty
  std::vector<std::string> opened;  // files of debug information
};

// Runs AnalyseCrash() in the sandbox. `give_up` is called once the child is there, and before
// anything that it says is looked at.
template <typename GiveUp>
Analysis Analyse(const CrashEvidence& evidence, GiveUp give_up) {
  const SystemClock clock;
  const SandboxLimits limits = LimitsOfSandbox();
  AnalysisLimits analysis_limits;
  analysis_limits.bytes = kMaxPayload - kMaxHead;
  Sandbox sandbox;
  const Status started = sandbox.Start(limits, evidence.Descriptors(), [&](SandboxLink& link) {
    std::vector<int> modules;
    modules.reserve(evidence.modules.size());
    for (const UniqueFd& module : evidence.modules) modules.push_back(module.get());
    SandboxedFiles files(link, std::move(modules));
    CachedMemory memory(*evidence.memory);
    AnalyseCrash(evidence.notes, evidence.map, memory, files, analysis_limits, clock,
                 [&](std::string_view text) { link.Emit(text); });
  });
  give_up();
  if (!started) return {"", started.error().message, {}};
  const FileOpener opener(evidence.root.valid() ? evidence.root.get() : AT_FDCWD, evidence.map);
  const SandboxOutcome outcome =
      sandbox.Wait(clock, [&](std::string_view request) { return opener.Answer(request); });
  Analysis analysis;
  analysis.mishap = MishapOf(outcome, limits);
  if (!outcome.texts.empty() && IsReportText(outcome.texts.back())) {
    analysis.text = outcome.texts.back();
  }
  if (analysis.text.empty() && analysis.mishap.empty()) analysis.mishap = "gave no text";
  analysis.opened = opener.opened();
  return analysis;
}

CrashFacts FactsOf(const CrashArguments& arguments, const CrashEvidence* evidence) {
  CrashFacts facts;
  facts.name = arguments.name;
  facts.exe = arguments.exe;
  facts.pid = arguments.pid;
  facts.signal = arguments.signal;
  if (evidence == nullptr) return facts;
  const CoreNotes& notes = evidence->notes;
  if (facts.name.empty()) facts.name = notes.command;
  if (!evidence->exe.empty()) facts.exe = evidence->exe;
  if (facts.pid == 0) facts.pid = notes.pid;
  if (facts.signal == 0) facts.signal = notes.signal();
  facts.signal_info = notes.signal_info;
  if (notes.signal_info && notes.signal_info->HasAddress()) {
    facts.address = DescribeAddress(notes.signal_info->address, notes, evidence->map);
  }
  const Origin origin = OriginOfCgroup(evidence->cgroup);
  facts.container = origin.container;
  if (facts.container.empty() && evidence->in_container) {
    facts.container = NameContainer(evidence->root.get());
  }
  facts.unit = origin.unit;
  return facts;
}

// Of the host's packages; those of a container are its own business.
void AddPackage(const CrashEvidence& evidence, CrashFacts& facts) {
  if (!evidence.in_container && !evidence.exe.empty()) {
    facts.package = FindDebianPackage(kPackages, facts.exe);
  }
}

// What is told: a payload under its kind, and under which key it is counted.
struct Story {
  CrashKind kind;
  std::string head;
  std::string rest;
  CrashKey key;
};

// A key for crashes that were not analysed: by program and signal.
CrashKey KeyOf(const CrashFacts& facts, const CrashKind& kind) {
  CrashKey key;
  key.process = facts.exe.empty() ? facts.name : ShownModule(facts.exe);
  AppendSigned(key.signal, facts.signal);
  key.rest = kind.rest;
  key.exact = "p1:" + key.rest + ":" + key.signal + ":";
  for (const char c : facts.exe.empty() ? facts.name : facts.exe) {
    key.exact += c == ' ' || IsControl(c) ? '?' : c;
  }
  return key;
}

class Teller {
 public:
  Teller(const CrashArguments& arguments, const Settings& settings)
      : arguments_(arguments), settings_(settings) {}

  // In full, or only counted.
  int Tell(const Story& story) {
    const bool by_itself =
        arguments_.from_kernel || arguments_.action == CrashArguments::Action::kWatch;
    if (!by_itself || !arguments_.post) return Send(story, 0);
    uint64_t held = 0;
    std::vector<HeldCrashes> due;
    {
      auto file = LockedCrashCounts::Open(CountsPath());
      // Better one record too many than none.
      if (!file) return Send(story, 0);
      const WallTime now = SystemClock().Now();
      const bool in_full = file->counts.Admit(story.key, now, held);
      due = file->counts.TakeDue(now);
      static_cast<void>(file->Save());
      if (!in_full) return TellCounts(due);
    }
    const int result = Send(story, held);
    if (result != EXIT_SUCCESS) {
      if (auto file = LockedCrashCounts::Open(CountsPath())) {
        file->counts.TakeBack(story.key, held);
        static_cast<void>(file->Save());
      }
    }
    TellCounts(due);
    return result;
  }

  int TellDueCounts() {
    std::vector<HeldCrashes> due;
    {
      auto file = LockedCrashCounts::Open(CountsPath());
      if (!file) return Failed(file.error().message);
      due = file->counts.TakeDue(SystemClock().Now());
      if (due.empty()) return EXIT_SUCCESS;
      if (const Status saved = file->Save(); !saved) return Failed(saved.error().message);
    }
    return TellCounts(due);
  }

 private:
  std::string CountsPath() const { return settings_.state_dir + "/crash-counts"; }

  int TellCounts(const std::vector<HeldCrashes>& due) {
    int result = EXIT_SUCCESS;
    for (const HeldCrashes& held : due) {
      Story story;
      story.kind = kCrash;
      for (const CrashKind& kind : {kThirdParty, kPackageBuild, kFailedAnalysis}) {
        if (held.key.rest == kind.rest) story.kind = kind;
      }
      if (story.kind == kThirdParty) {
        story.head = kThirdPartyText;
      } else if (story.kind == kPackageBuild) {
        story.head = kPackageBuildText;
      } else {
        story.head = "Process: " + held.key.process + "\nSignal: " + held.key.signal + "\n";
        if (!held.key.stable.empty()) {
          story.rest = "Signature: " + held.key.stable + "   exact: " + held.key.exact + "\n";
        }
      }
      story.key = held.key;
      const int sent = Send(story, held.count);
      if (sent == EXIT_SUCCESS) continue;
      result = sent;
      if (auto file = LockedCrashCounts::Open(CountsPath())) {
        file->counts.TakeBack(held.key, held.count - 1);
        static_cast<void>(file->Save());
      }
    }
    return result;
  }

  int Send(const Story& story, uint64_t held) {
    std::string payload = story.head;
    if (held > 0) {
      payload += "Repeated: ";
      AppendUnsigned(payload, held);
      payload += "\n";
    }
    payload += story.rest;
    if (arguments_.post && arguments_.show_payload) {
      if (const Status shown = WriteAll(STDOUT_FILENO, payload); !shown) {
        return Failed("standard output: " + shown.error().message);
      }
    }
    const RecordOutlet outlet({.post = arguments_.post, .json = arguments_.json}, settings_);
    const Status handed = outlet.Hand({.classification = std::string(story.kind.rest.substr(1)),
                                       .severity = story.kind.severity,
                                       .payload = std::move(payload),
                                       .event_id = {}});
    return handed ? EXIT_SUCCESS : Failed(handed.error().message);
  }

  const CrashArguments& arguments_;
  const Settings& settings_;
};

// Hands the core on to a file, in a child that waits until the process has been looked into.
class ForwardChild {
 public:
  // Before the rights of root are given up.
  void Start(const CoreForward& forward, const std::string& start) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
    const UniqueFd wait(pipe[0]);
    go_.Reset(pipe[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    go_.Reset();
    char byte;
    while (::read(wait.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    const Status done = forward.Run(start, STDIN_FILENO);
    ::_exit(done ? EXIT_SUCCESS : Failed(done.error().message));
  }

  // Lets it go on, and waits for it: it is what holds the process.
  ~ForwardChild() {
    go_.Reset();
    if (pid_ <= 0) return;
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  ForwardChild() = default;
  ForwardChild(const ForwardChild&) = delete;
  ForwardChild& operator=(const ForwardChild&) = delete;

 private:
  UniqueFd go_;
  pid_t pid_ = -1;
};

CoreFileValues ValuesOf(const CrashArguments& arguments, const CrashFacts& facts) {
  CoreFileValues values;
  values.pid = arguments.pid;
  values.inner_pid = arguments.pid;
  values.tid = arguments.tid;
  values.inner_tid = arguments.inner_tid;
  values.uid = arguments.uid;
  values.gid = arguments.gid;
  values.time = arguments.time;
  values.limit = arguments.core_limit;
  values.dump_mode = arguments.dump_mode;
  values.signal = facts.signal;
  values.name = facts.name;
  values.exe = facts.exe;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) values.host = host.data();
  return values;
}

// One crash on its way.
class Case {
 public:
  Case(const CrashArguments& arguments, const Settings& settings)
      : arguments_(arguments), settings_(settings), teller_(arguments, settings) {}

  int ByHand() {
    auto evidence = ReadByHand();
    if (!evidence) {
      const std::string subject =
          arguments_.core_file.empty() ? "standard input" : "'" + arguments_.core_file + "'";
      return Failed(subject + ": " + evidence.error().message);
    }
    CrashFacts facts = FactsOf(arguments_, &*evidence);
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) return TellKindOnly(facts, kind);
    const Analysis analysis = Analyse(*evidence, BecomeTelemetry);
    AddPackage(*evidence, facts);
    return TellAnalysis(facts, analysis);
  }

  int Known(const CrashFacts& facts, const std::string& text) {
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) return TellKindOnly(facts, kind);
    return TellAnalysis(facts, {text, text.empty() ? "systemd-coredump has no stack" : "", {}});
  }

  int ForKernel() {
    GuardAgainstOurselves();
    proc_ = FindProcess();
    if (IsOurselves(facts_.exe)) return EXIT_SUCCESS;
    const auto turn = CrashTurn::Wait(settings_.state_dir, kPatience);
    if (!turn) {
      CrashFacts facts = FactsOf(arguments_, nullptr);
      BecomeTelemetry();
      return TellUnread(facts, "left out, since two others were under way");
    }
    const bool hands_on = settings_.crash_forward == CrashForward::kFile;
    auto evidence = ReadDyingProcess(STDIN_FILENO, UniqueFd(::dup(proc_.get())), arguments_.name,
                                     settings_.cache_dir, hands_on);
    if (!evidence) {
      BecomeTelemetry();
      return TellUnread(FactsOf(arguments_, nullptr), evidence.error().message);
    }
    CrashFacts facts = FactsOf(arguments_, &*evidence);
    if (IsOurselves(facts.exe)) return EXIT_SUCCESS;
    const CrashKind kind = KindFor(facts);
    Analysis analysis;
    {
      ForwardChild forward;
      if (hands_on) StartForward(forward, *evidence, facts);
      if (kind == kCrash) {
        analysis = Analyse(*evidence, BecomeTelemetry);
      } else {
        BecomeTelemetry();
      }
    }
    // Whoever waits for the process need not wait for the rest.
    LetProcessGo();
    if (kind != kCrash) return TellKindOnly(facts, kind);
    AddPackage(*evidence, facts);
    return TellAnalysis(facts, analysis);
  }

 private:
  Result<CrashEvidence> ReadByHand() {
    UniqueFd core;
    if (arguments_.core_file.empty()) {
      core.Reset(::dup(STDIN_FILENO));
      if (!core.valid()) return SystemError("read standard input", errno);
    } else {
      TELEM_TRY(core, OpenAt(AT_FDCWD, arguments_.core_file, O_RDONLY | O_NOCTTY));
    }
    struct stat st;
    if (::fstat(core.get(), &st) == 0 && S_ISREG(st.st_mode)) {
      return ReadCoreFile(std::move(core), arguments_.root);
    }
    return ReadCoreStream(core.get(), arguments_.root, settings_.cache_dir);
  }

  UniqueFd FindProcess() {
    if (arguments_.pid == 0) return UniqueFd();
    auto proc = OpenProcess(arguments_.pid);
    if (!proc) return UniqueFd();
    facts_.exe = ProgramOf(proc->get());
    return std::move(*proc);
  }

  CrashKind KindFor(const CrashFacts& facts) const {
    return KindOf(facts.exe, settings_.crash_report_paths, HasPrivacyFilters(settings_));
  }

  void StartForward(ForwardChild& child, const CrashEvidence& evidence, const CrashFacts& facts) {
    if (!proc_.valid()) return;
    const auto forward =
        CoreForward::Open(proc_.get(), CorePattern::Former(settings_), ValuesOf(arguments_, facts));
    if (forward) child.Start(*forward, evidence.start);
  }

  int TellKindOnly(const CrashFacts& facts, const CrashKind& kind) {
    BecomeTelemetry();
    Story story{kind, kind == kThirdParty ? kThirdPartyText : kPackageBuildText, "",
                KeyOf(facts, kind)};
    // One count for all of them: the key must not say what the record does not.
    story.key.process.clear();
    return teller_.Tell(story);
  }

  // Only the fact: what the kernel said on the command line.
  int TellUnread(const CrashFacts& facts, std::string_view why) {
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) return TellKindOnly(facts, kind);
    return TellAnalysis(facts, {"", std::string(why), {}});
  }

  int TellAnalysis(const CrashFacts& facts, const Analysis& analysis) {
    const CrashKind kind = analysis.text.empty() ? kFailedAnalysis : kCrash;
    Story story{kind, ReportHead(facts), WithPackage(analysis.text, facts), KeyOf(facts, kind)};
    if (!analysis.mishap.empty()) story.head += "Analysis: " + analysis.mishap + "\n";
    if (const std::string_view exact = ExactSignatureOf(analysis.text); !exact.empty()) {
      story.key.exact = exact;
      story.key.stable = StableSignatureOf(analysis.text);
    }
    return teller_.Tell(story);
  }

  const CrashArguments& arguments_;
  const Settings& settings_;
  Teller teller_;
  UniqueFd proc_;
  CrashFacts facts_;
};

}  // namespace

int ReportCrash(const CrashArguments& arguments, const Settings& settings) {
  if (arguments.action != CrashArguments::Action::kSocket) {
    Case crash(arguments, settings);
    return arguments.from_kernel ? crash.ForKernel() : crash.ByHand();
  }
  const auto process = FindDumpedProcess(STDIN_FILENO);
  if (!process) return Failed(process.error().message);
  CrashArguments found = arguments;
  found.pid = process->pid;
  if (const auto proc = OpenProcess(process->pid)) found.name = CommandOf(proc->get());
  if (const Status asked = RequestCore(STDIN_FILENO); !asked) {
    return Failed(asked.error().message);
  }
  return Case(found, settings).ForKernel();
}

int ReportKnownCrash(const CrashArguments& arguments, const Settings& settings,
                     const CrashFacts& facts, const std::string& text) {
  return Case(arguments, settings).Known(facts, text);
}

int SendCrashCounts(const CrashArguments& arguments, const Settings& settings) {
  BecomeTelemetry();
  return Teller(arguments, settings).TellDueCounts();
}

int ExplainCrash(const CrashArguments& arguments, const Settings& settings) {
  const std::string& subject = arguments.subject;
  std::optional<RunningProcess> running;
  std::optional<CrashEvidence> core;
  if (const auto pid = ParseUnsigned(subject); pid && *pid > 0 && *pid <= INT_MAX) {
    auto stopped = RunningProcess::Stop(static_cast<pid_t>(*pid));
    if (!stopped) return Failed("process " + subject + ": " + stopped.error().message);
    running.emplace(std::move(*stopped));
  } else {
    auto file = OpenAt(AT_FDCWD, subject, O_RDONLY | O_NOCTTY);
    if (!file) return Failed("'" + subject + "': " + file.error().message);
    auto read = ReadCoreFile(std::move(*file), arguments.root);
    if (!read) return Failed("'" + subject + "': " + read.error().message);
    core.emplace(std::move(*read));
  }
  const CrashEvidence& evidence = running ? running->evidence : *core;
  CrashFacts facts = FactsOf(arguments, &evidence);
  AddPackage(evidence, facts);
  const CrashKind kind =
      KindOf(facts.exe, settings.crash_report_paths, HasPrivacyFilters(settings));
  const Analysis analysis = Analyse(evidence, [] {});
  std::string text =
      "Classification: " + settings.classification_domain + std::string(kind.rest) + "\n";
  if (kind == kCrash) {
    text += "The record would say this:\n\n";
  } else {
    text += "The record would only say \"" +
            std::string(kind == kThirdParty ? "Crash from third party"
                                            : "Crash from Clear package build") +
            "\", by the path of the program\n(crash_report_paths). What is known:\n\n";
  }
  text += ReportHead(facts);
  if (!analysis.mishap.empty()) text += "Analysis: " + analysis.mishap + "\n";
  text += WithPackage(analysis.text, facts);
  text += "\nWhere it came from:\n  threads, registers, signal: ";
  text += std::string(evidence.source) + "\n";
  if (!facts.package.empty()) text += "  package: the package database\n";
  for (size_t i = 0; i < evidence.map.modules().size(); ++i) {
    const Module& module = evidence.map.modules()[i];
    text += "  " + PrintableAscii(module.path, 200) + ": ";
    text += module.path == kVdso          ? "from memory"
            : evidence.modules[i].valid() ? "the mapped file"
            : module.deleted              ? "deleted; as much as is in memory"
                                          : "not found; as much as is in memory";
    text += "\n";
  }
  for (const std::string& file : analysis.opened) {
    text += "  debug information: " + PrintableAscii(file, 200) + "\n";
  }
  const Status shown = WriteAll(STDOUT_FILENO, text);
  return shown ? EXIT_SUCCESS : Failed("standard output: " + shown.error().message);
}

}  // namespace telem
