#include "probes/crash/crash_probe.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/command_line.h"
#include "base/files.h"
#include "base/text.h"
#include "config/consent.h"
#include "probes/common/privileges.h"
#include "probes/crash/core_forward.h"
#include "probes/crash/core_pattern.h"
#include "probes/crash/core_socket.h"
#include "probes/crash/crash_analysis.h"
#include "probes/crash/crash_attempt.h"
#include "probes/crash/crash_evidence.h"
#include "probes/crash/crash_report.h"
#include "probes/crash/crash_teller.h"
#include "probes/crash/crash_turn.h"
#include "probes/crash/file_opener.h"
#include "probes/crash/package_database.h"
#include "probes/crash/running_process.h"
#include "probes/crash/sample_process.h"
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

// When looking into a crash is given up, if that of the sandbox did not end it before.
constexpr milliseconds kLastMoment{4700};

int Failed(std::string_view what) { return Failure(kCrashProgram, what); }

// From here on with the rights of telemd's user. Root stays root on a machine that has none.
void GiveUpRights() {
  const uid_t before = ::geteuid();
  if (const Status done = GiveUpPrivileges(); !done) std::exit(Failed(done.error().message));
  // A change of user makes a process dumpable again (prctl(2)).
  if (::geteuid() != before) ::prctl(PR_SET_DUMPABLE, 0);
}

// A crash of ours is nobody's case: the kernel starts no handler for a process with a core limit of
// 1 (that is what it gives its handlers), and none for one that is not dumpable.
void GuardAgainstOurselves() {
  const rlimit one{1, 1};
  ::setrlimit(RLIMIT_CORE, &one);
  ::prctl(PR_SET_DUMPABLE, 0);
}

bool IsOurselves(const std::string& exe) {
  // Also the one that an upgrade has replaced since.
  const auto self = OpenProcess(::getpid());
  return self && !exe.empty() && exe == ProgramOf(self->get());
}

// Lets go of the kernel's pipe or socket, and so of the process.
void LetProcessGo() {
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // Where there is no such device, nothing in its place does as well.
  if (!nothing.valid() || ::dup2(nothing.get(), STDIN_FILENO) < 0) ::close(STDIN_FILENO);
}

// `begin` is when crashprobe began: somebody waits for the process, so waiting for a turn counts.
SandboxLimits LimitsOfSandbox(const Clock& clock, MonotonicTime begin) {
  SandboxLimits limits;
  limits.time -= std::chrono::duration_cast<milliseconds>(clock.Monotonic() - begin);
  if (const passwd* user = ::getpwnam(kUser)) {
    limits.uid = user->pw_uid;
    limits.gid = user->pw_gid;
  }
  return limits;
}

// "4.5 s"
void AppendSeconds(std::string& out, milliseconds time) {
  AppendSigned(out, time.count() / 1000);
  out += '.';
  AppendSigned(out, time.count() % 1000 / 100);
  out += " s";
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
      AppendSeconds(text, SandboxLimits().time);
      text += ", the longest a crash may take";
      break;
    case SandboxEnd::kTooMuchMemory:
      text = "ended at ";
      AppendUnsigned(text, limits.memory / (1024 * 1024));
      text += " MiB, the most memory it may take";
  }
  return text;
}

struct Analysis {
  std::string text = {};                 // empty when there is none
  std::string mishap = {};               // what went wrong, for the record; may be empty
  std::vector<std::string> opened = {};  // files of debug information
  std::string origins = {};              // of modules, where it was asked for them
};

// Runs AnalyseCrash() in the sandbox. `give_up` is called once the child is there, and before
// anything that it says is looked at. `is_enough` gets each text (AnalyseCrash()), and where it
// says so there are no more.
template <typename GiveUp>
Analysis Analyse(const CrashEvidence& evidence, MonotonicTime begin, GiveUp give_up,
                 const std::function<bool(const std::string&)>& is_enough = nullptr,
                 bool tells_origins = false) {
  const SystemClock clock;
  const SandboxLimits limits = LimitsOfSandbox(clock, begin);
  AnalysisLimits analysis_limits;
  analysis_limits.bytes = kMaxPayload - kMaxHead;
  analysis_limits.tells_origins = tells_origins;
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
  SandboxOutcome outcome = sandbox.Wait(
      clock, [&](std::string_view request) { return opener.Answer(request); }, is_enough);
  Analysis analysis;
  analysis.mishap = MishapOf(outcome, limits);
  if (tells_origins && outcome.texts.size() > kTextsOfReport) {
    if (IsPlainText(outcome.texts.back())) analysis.origins = outcome.texts.back();
    outcome.texts.pop_back();
  }
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
void AddPackage(bool in_container, CrashFacts& facts) {
  // To look through the lists of all packages costs a thousand system calls; no package has a file
  // where records do not even show the folder.
  const bool may_have_one = !facts.exe.empty() && ShownModule(facts.exe) == facts.exe;
  if (!in_container && may_have_one && facts.package.empty()) {
    facts.package = FindDebianPackage(kPackages, facts.exe);
  }
}

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

// Hands the core on to a file, in a child that waits until the process has been looked into.
class ForwardChild {
 public:
  // Before the rights of root are given up. A large core takes its time: others need not wait for
  // `turn` meanwhile.
  void Start(const CoreForward& forward, const std::string& start, CrashTurn& turn) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
    const UniqueFd wait(pipe[0]);
    go_.Reset(pipe[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    go_.Reset();
    turn.CloseInChild();
    char byte;
    while (::read(wait.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    const Status done = forward.Run(start, STDIN_FILENO);
    ::_exit(done ? EXIT_SUCCESS : Failed(done.error().message));
  }

  // Lets it go on. It has the core from here on, and holds the process.
  void LetGoOn() { go_.Reset(); }

  // Waits for it: a service manager ends what is left when its main process has ended.
  ~ForwardChild() {
    LetGoOn();
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

// `proc` is OpenProcess() of the process.
CoreFileValues ValuesOf(const CrashArguments& arguments, const CrashFacts& facts, int proc) {
  CoreFileValues values;
  const auto uses_pid = ReadFile("/proc/sys/kernel/core_uses_pid", 16);
  values.uses_pid = uses_pid && !uses_pid->starts_with('0');
  values.pid = arguments.pid;
  values.inner_pid = InnerPidOf(proc).value_or(arguments.pid);
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
    return Tell(*evidence, GiveUpRights);
  }

  // Our own child, which only we may look into, and so with our rights.
  int Sample(const CrashEvidence& evidence) {
    return Tell(evidence, [] {});
  }

  int Known(CrashFacts facts, const std::string& text, const std::string& event_id) {
    event_id_ = event_id;
    comes_again_ = true;
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) {
      GiveUpRights();
      return TellKindOnly(facts, kind);
    }
    AddPackage(!facts.container.empty(), facts);
    return TellAnalysis(facts, {text, text.empty() ? "systemd-coredump has no stack" : "", {}});
  }

  int ForKernel() {
    GuardAgainstOurselves();
    proc_ = FindProcess();
    if (IsOurselves(facts_.exe)) return EXIT_SUCCESS;
    const auto outcome =
        CrashAttempt::Run(SystemClock(), begin_ + kLastMoment, [&](CrashAttempt& attempt) {
          attempt_ = &attempt;
          const int result = LookIntoDyingProcess();
          attempt_ = nullptr;
          return result;
        });
    if (outcome && outcome->end == AttemptOutcome::End::kDone) return outcome->code;
    GiveUpRights();
    if (!outcome) return TellUnread(outcome.error().message);
    std::string mishap = "given up after ";
    if (outcome->end == AttemptOutcome::End::kTooLong) {
      AppendSeconds(mishap, kLastMoment);
    } else {
      mishap = "ended by signal ";
      AppendSigned(mishap, outcome->signal);
    }
    return TellUnread(mishap);
  }

 private:
  template <typename GiveUp>
  int Tell(const CrashEvidence& evidence, GiveUp give_up) {
    CrashFacts facts = FactsOf(arguments_, &evidence);
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) {
      give_up();
      return TellKindOnly(facts, kind);
    }
    const Analysis analysis = Analyse(evidence, begin_, give_up);
    AddPackage(evidence.in_container || evidence.exe.empty(), facts);
    return TellAnalysis(facts, analysis);
  }

  int LookIntoDyingProcess() {
    auto turn = CrashTurn::Wait(settings_.state_dir, kPatience);
    if (!turn) {
      GiveUpRights();
      LetProcessGo();
      return TellUnread("left out, since two others were under way");
    }
    const bool hands_on = settings_.crash_forward == CrashForward::kFile;
    auto evidence = ReadDyingProcess(STDIN_FILENO, UniqueFd(::dup(proc_.get())), arguments_.name,
                                     settings_.cache_dir, hands_on);
    if (!evidence) {
      GiveUpRights();
      return TellUnread(evidence.error().message);
    }
    CrashFacts facts = FactsOf(arguments_, &*evidence);
    if (IsOurselves(facts.exe)) return EXIT_SUCCESS;
    ForwardChild forward;
    if (hands_on) StartForward(forward, *evidence, facts, *turn);
    const int result = TellOfDyingProcess(*evidence, facts, forward);
    turn.reset();
    return result;
  }

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

  // Looks into the process, lets it go once all its stacks are known, and then tells of it.
  int TellOfDyingProcess(const CrashEvidence& evidence, CrashFacts& facts, ForwardChild& forward) {
    const CrashKind kind = KindFor(facts);
    Analysis analysis;
    size_t texts = 0;
    bool is_counted = false;
    if (kind == kCrash) {
      analysis = Analyse(evidence, begin_, GiveUpRights, [&](const std::string& text) {
        // The first one is for when those of other threads hold up or end the child.
        if (++texts < kTextsOfMemory) return false;
        // All texts have the same signature.
        if (texts == kTextsOfMemory) is_counted = teller_.CountRepeated(text);
        // Whoever waits for the process, such as who starts a service again, need not wait for
        // names. They come from files, which a container's end would take away.
        if (!evidence.in_container) LetGo(forward);
        return is_counted;
      });
    } else {
      GiveUpRights();
    }
    LetGo(forward);
    WillEnd();
    if (is_counted) return teller_.TellDueCounts();
    if (kind != kCrash) return TellKindOnly(facts, kind);
    AddPackage(evidence.in_container || evidence.exe.empty(), facts);
    return TellAnalysis(facts, analysis);
  }

  static void LetGo(ForwardChild& forward) {
    LetProcessGo();
    forward.LetGoOn();
  }

  void StartForward(ForwardChild& child, const CrashEvidence& evidence, const CrashFacts& facts,
                    CrashTurn& turn) {
    // As the kernel has it, a limit of 1 is one of 0 (core(5)).
    if (!proc_.valid() || evidence.start.empty() || arguments_.core_limit <= 1) return;
    const auto forward = CoreForward::Open(proc_.get(), CorePattern::Former(settings_),
                                           ValuesOf(arguments_, facts, proc_.get()));
    if (forward) {
      child.Start(*forward, evidence.start, turn);
    } else {
      Failed("the core is not handed on: " + forward.error().message);
    }
  }

  void WillEnd() {
    if (attempt_ != nullptr) attempt_->WillEnd();
  }

  int TellKindOnly(const CrashFacts& facts, const CrashKind& kind) {
    WillEnd();
    CrashStory story{kind,      kind == kThirdParty ? kThirdPartyText : kPackageBuildText,
                     "",        KeyOf(facts, kind),
                     event_id_, comes_again_};
    // One count for all of them: the key must not say what the record does not.
    story.key.process.clear();
    return teller_.Tell(story);
  }

  // Only the fact: what the kernel said on the command line, or what the process was called.
  int TellUnread(std::string_view why) {
    CrashFacts facts = FactsOf(arguments_, nullptr);
    if (facts.exe.empty()) facts.exe = facts_.exe;
    const CrashKind kind = KindFor(facts);
    if (kind != kCrash) return TellKindOnly(facts, kind);
    return TellAnalysis(facts, {"", std::string(why), {}});
  }

  int TellAnalysis(const CrashFacts& facts, const Analysis& analysis) {
    WillEnd();
    const CrashKind kind = analysis.text.empty() ? kFailedAnalysis : kCrash;
    CrashStory story{
        kind,      ReportHead(facts), WithPackage(analysis.text, facts), KeyOf(facts, kind),
        event_id_, comes_again_};
    if (!analysis.mishap.empty()) story.head += "Analysis: " + analysis.mishap + "\n";
    if (const std::string_view exact = ExactSignatureOf(analysis.text); !exact.empty()) {
      story.key.exact = exact;
      story.key.stable = StableSignatureOf(analysis.text);
    }
    return teller_.Tell(story);
  }

  const CrashArguments& arguments_;
  const Settings& settings_;
  const MonotonicTime begin_ = SystemClock().Monotonic();
  CrashTeller teller_;
  UniqueFd proc_;
  CrashFacts facts_;
  // Also of what is told when the one who looked into it was ended.
  std::string event_id_ = CrashTeller::NewEventId();
  bool comes_again_ = false;
  CrashAttempt* attempt_ = nullptr;  // in its child
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
  // The kernel has no words for us here, and what is told must not hang on what comes.
  if (const auto proc = OpenProcess(process->pid)) {
    found.name = CommandOf(proc->get());
    found.signal = EndSignalOf(proc->get());
  }
  if (const Status asked = RequestCore(STDIN_FILENO); !asked) {
    return Failed(asked.error().message);
  }
  return Case(found, settings).ForKernel();
}

int ReportKnownCrash(const CrashArguments& arguments, const Settings& settings,
                     const CrashFacts& facts, const std::string& text,
                     const std::string& event_id) {
  return Case(arguments, settings).Known(facts, text, event_id);
}

int SendCrashCounts(const CrashArguments& arguments, const Settings& settings) {
  GiveUpRights();
  return CrashTeller(arguments, settings).TellDueCounts();
}

int ShowSampleCrash(const CrashArguments& arguments, const Settings& settings) {
  const auto sample = SampleProcess::Start();
  if (!sample) return Failed(sample.error().message);
  auto stopped = RunningProcess::Stop(sample->pid());
  if (!stopped) return Failed("the sample: " + stopped.error().message);
  // What the kernel says of abort(3), which the sample has not quite called.
  stopped->evidence.notes.signal_info = {.number = SIGABRT, .code = SI_TKILL};
  return Case(arguments, settings).Sample(stopped->evidence);
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
  AddPackage(evidence.in_container || evidence.exe.empty(), facts);
  const CrashKind kind =
      KindOf(facts.exe, settings.crash_report_paths, HasPrivacyFilters(settings));
  const Analysis analysis = Analyse(evidence, SystemClock().Monotonic(), [] {}, nullptr, true);
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
  const std::string report = WithPackage(analysis.text, facts);
  text += report;
  text += "\nWhere it came from:\n  threads, registers, signal: ";
  text += std::string(evidence.source) + "\n";
  if (report != analysis.text) {
    text += "  package: the package database\n";
  } else if (report.contains("Package: ")) {
    text += "  package: a note in the program\n";
  }
  if (!facts.container.empty() || !facts.unit.empty()) {
    text += "  container, unit: the control group of the process\n";
  }
  for (std::string_view rest = analysis.origins; !rest.empty();) {
    text += "  " + std::string(TakeUntil(rest, '\n')) + "\n";
  }
  for (const std::string& file : analysis.opened) {
    text += "  debug information: " + PrintableAscii(file, 200) + "\n";
  }
  const Status shown = WriteAll(STDOUT_FILENO, text);
  return shown ? EXIT_SUCCESS : Failed("standard output: " + shown.error().message);
}

}  // namespace telem
