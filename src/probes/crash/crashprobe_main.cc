// crashprobe: makes a record of a program's crash. Started by the kernel for every crash, or by
// people for a core file.
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/text.h"
#include "config/settings.h"
#include "probes/common/probe_main.h"
#include "probes/crash/crash_analysis.h"
#include "probes/crash/crash_arguments.h"
#include "probes/crash/crash_evidence.h"
#include "probes/crash/crash_report.h"
#include "probes/crash/file_opener.h"
#include "probes/crash/package_database.h"
#include "probes/crash/sandbox.h"
#include "telemetry.h"

namespace telem {
namespace {

constexpr char kProgram[] = "crashprobe";
constexpr char kUser[] = "telemetry";
constexpr char kPackages[] = "/var/lib/dpkg";

// What tm_set_payload() takes.
constexpr size_t kMaxPayload = size_t{256} * 1024;
constexpr size_t kMaxHead = size_t{4} * 1024;

constexpr char kHelp[] =
    "Usage: crashprobe [OPTION]...\n"
    "       crashprobe -p NAME [-E PATH] [-s SIGNAL] [PID TID TID TIME UID GID LIMIT MODE [FD]]\n"
    "Send a record about a program's crash to the telemetry daemon. The core is read from\n"
    "standard input; the second form is how the kernel calls (core(5), kernel.core_pattern).\n"
    "\n"
    "  -c, --core-file FILE     read the core from FILE\n"
    "      --root DIR           the files of the core's machine lie below DIR\n"
    "  -n, --no-post            print the record instead of sending it\n"
    "      --json               with -n: print it as one JSON object\n"
    "  -v, --verbose            print the payload, too\n"
    "  -p, --process-name NAME  %e: name of the process\n"
    "  -E, --process-path PATH  %E: path of its program, with '!' for '/'\n"
    "  -s, --signal NUMBER      %s: the signal that ended it\n"
    "  -f, --config-file FILE   take the configuration from FILE\n"
    "  -h, --help               print this help\n"
    "  -V, --version            print the version\n";

// The kernel starts its handler with standard input alone. What is opened next must not become
// standard output.
void EnsureStandardDescriptors() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
  if (fd >= 0) ::close(fd);
}

// From here on with the rights of telemd's user. Root stays root on a machine that has none.
void BecomeTelemetry() {
  if (::geteuid() != 0) return;
  const passwd* user = ::getpwnam(kUser);
  if (user == nullptr) return;
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  if (::setgroups(1, &gid) != 0 || ::setresgid(gid, gid, gid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    std::exit(Failure(kProgram, "cannot become telemetry"));
  }
  ::prctl(PR_SET_DUMPABLE, 0);
}

struct FreeRecord {
  void operator()(telem_ref* ref) const { tm_free_record(ref); }
};

bool HasPrivacyFilters(const Settings& settings) {
  const std::string marker = settings.config_dir + "/opt-in-no-privacy-filters";
  return ::faccessat(AT_FDCWD, marker.c_str(), F_OK, AT_EACCESS) != 0;
}

struct Analysis {
  std::string text;    // empty when there is none
  std::string mishap;  // what went wrong, for the record; may be empty
};

class CrashProbe {
 public:
  CrashProbe(const CrashArguments& arguments, const Settings& settings)
      : arguments_(arguments), settings_(settings) {}

  int Run() {
    auto evidence = Collect();
    if (!evidence && !arguments_.from_kernel) {
      return Failure(kProgram, Subject() + ": " + evidence.error().message);
    }
    const CrashFacts facts = FactsOf(evidence ? &*evidence : nullptr);
    const CrashKind kind =
        KindOf(facts.exe, settings_.crash_report_paths, HasPrivacyFilters(settings_));
    if (kind == kThirdParty) return Deliver(kind, kThirdPartyText);
    if (kind == kPackageBuild) return Deliver(kind, kPackageBuildText);
    if (!evidence) {
      return Deliver(kFailedAnalysis,
                     ReportHead(facts) + "Analysis: " + evidence.error().message + "\n");
    }
    const Analysis analysis = Analyse(*evidence);
    // Lets the process go: whoever waits for it need not wait for the rest.
    ::close(STDIN_FILENO);
    ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::string payload = ReportHead(facts);
    if (!analysis.mishap.empty()) payload += "Analysis: " + analysis.mishap + "\n";
    payload += WithPackage(analysis.text, facts);
    return Deliver(analysis.text.empty() ? kFailedAnalysis : kCrash, payload);
  }

 private:
  std::string Subject() const {
    return arguments_.core_file.empty() ? "standard input" : "'" + arguments_.core_file + "'";
  }

  Result<CrashEvidence> Collect() {
    if (!arguments_.core_file.empty()) {
      TELEM_TRY(UniqueFd core, OpenAt(AT_FDCWD, arguments_.core_file, O_RDONLY | O_NOCTTY));
      return FromDescriptor(std::move(core));
    }
    if (!arguments_.from_kernel) return FromDescriptor(UniqueFd(::dup(STDIN_FILENO)));
    UniqueFd proc;
    if (arguments_.pid != 0) {
      if (auto found = OpenProcess(arguments_.pid)) proc = std::move(*found);
    }
    return ReadDyingProcess(STDIN_FILENO, std::move(proc), arguments_.name, settings_.cache_dir);
  }

  Result<CrashEvidence> FromDescriptor(UniqueFd core) {
    struct stat st;
    if (::fstat(core.get(), &st) == 0 && S_ISREG(st.st_mode)) {
      return ReadCoreFile(std::move(core), arguments_.root);
    }
    return ReadCoreStream(core.get(), arguments_.root, settings_.cache_dir);
  }

  CrashFacts FactsOf(const CrashEvidence* evidence) const {
    CrashFacts facts;
    facts.name = arguments_.name;
    facts.exe = arguments_.exe;
    facts.pid = arguments_.pid;
    facts.signal = arguments_.signal;
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
    facts.unit = origin.unit;
    if (!evidence->in_container && !evidence->exe.empty()) {
      facts.package = FindDebianPackage(kPackages, facts.exe);
    }
    return facts;
  }

  Analysis Analyse(const CrashEvidence& evidence) {
    SandboxLimits limits;
    if (const passwd* user = ::getpwnam(kUser)) {
      limits.uid = user->pw_uid;
      limits.gid = user->pw_gid;
    }
    const SystemClock clock;
    AnalysisLimits analysis_limits;
    analysis_limits.bytes = kMaxPayload - kMaxHead;
    Sandbox sandbox;
    const Status started = sandbox.Start(limits, evidence.Descriptors(), [&](SandboxLink& link) {
      std::vector<int> modules;
      for (const UniqueFd& module : evidence.modules) modules.push_back(module.get());
      SandboxedFiles files(link, std::move(modules));
      CachedMemory memory(*evidence.memory);
      AnalyseCrash(evidence.notes, evidence.map, memory, files, analysis_limits, clock,
                   [&](std::string_view text) { link.Emit(text); });
    });
    BecomeTelemetry();
    if (!started) return {"", started.error().message};
    const FileOpener opener(evidence.root.valid() ? evidence.root.get() : AT_FDCWD, evidence.map);
    const SandboxOutcome outcome =
        sandbox.Wait(clock, [&](std::string_view request) { return opener.Answer(request); });
    Analysis analysis;
    analysis.mishap = MishapOf(outcome, limits);
    if (!outcome.texts.empty() && IsReportText(outcome.texts.back())) {
      analysis.text = outcome.texts.back();
    }
    if (analysis.text.empty() && analysis.mishap.empty()) analysis.mishap = "gave no text";
    return analysis;
  }

  static std::string MishapOf(const SandboxOutcome& outcome, const SandboxLimits& limits) {
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

  int Deliver(const CrashKind& kind, const std::string& payload) {
    const std::string classification = settings_.classification_domain + std::string(kind.rest);
    telem_ref* ref = nullptr;
    int error = tm_create_record(&ref, kind.severity, classification.c_str(), 1);
    const std::unique_ptr<telem_ref, FreeRecord> record(ref);
    if (error == 0) error = tm_set_payload(ref, payload.c_str());
    if (error != 0) return Failure(kProgram, "cannot make the record");
    if (!arguments_.post) {
      const Status shown =
          ShowRecord(*ref, arguments_.json ? RecordForm::kJson : RecordForm::kText);
      return shown ? EXIT_SUCCESS : Failure(kProgram, shown.error().message);
    }
    if (arguments_.show_payload) {
      if (const Status shown = WriteAll(STDOUT_FILENO, payload); !shown) {
        return Failure(kProgram, "standard output: " + shown.error().message);
      }
    }
    error = tm_send_record(ref);
    return error == 0 ? EXIT_SUCCESS : Failure(kProgram, ExplainSendError(error));
  }

  const CrashArguments& arguments_;
  const Settings& settings_;
};

int Main(int argc, char** argv) {
  EnsureStandardDescriptors();
  const auto arguments = ParseCrashArguments(argc, argv);
  if (!arguments) return UsageMistake(kProgram, arguments.error().message, kProbeMistake);
  if (arguments->action == CrashArguments::Action::kHelp) return PrintHelp(kHelp);
  if (arguments->action == CrashArguments::Action::kVersion) return PrintVersion(kProgram);
  std::string config_file;
  if (!arguments->config_file.empty()) {
    const auto found = FindConfigFile(arguments->config_file.c_str());
    if (!found) return Failure(kProgram, found.error().message);
    config_file = *found;
    tm_set_config_file(config_file.c_str());
  }
  if (arguments->post && tm_is_opted_in() == 0) return EXIT_SUCCESS;
  const auto loaded = LoadSettings(config_file);
  if (!loaded) return Failure(kProgram, loaded.error().message);
  return CrashProbe(*arguments, loaded->settings).Run();
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
