// crashprobe: makes a record of a program's crash. Started by the kernel for every crash, or by
// people for a core file.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "config/settings.h"
#include "probes/common/probe_main.h"
#include "probes/crash/core_pattern.h"
#include "probes/crash/coredump_watch.h"
#include "probes/crash/crash_arguments.h"
#include "probes/crash/crash_probe.h"
#include "telemetry.h"

namespace telem {
namespace {

using Action = CrashArguments::Action;

constexpr char kAbout[] =
    "Usage: crashprobe [OPTION]...\n"
    "       crashprobe -p NAME [-E PATH] [-s SIGNAL] [PID TID TID TIME UID GID LIMIT MODE [FD]]\n"
    "Send a record about a program's crash to the telemetry daemon. The core is read from\n"
    "standard input; the second form is how the kernel calls (core(5), kernel.core_pattern).\n"
    "\n";

constexpr char kKernelSettings[] = "/proc/sys/kernel";

// The kernel starts its handler with standard input alone. What is opened next must not become
// standard output.
void EnsureStandardDescriptors() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
  if (fd >= 0) ::close(fd);
}

int ChangeKernelSettings(Action action, const std::string& config_file, const Settings& settings) {
  if (IsInContainerOrChroot()) {
    return Failure(kCrashProgram, "the kernel of a container or chroot is its host's");
  }
  std::array<char, PATH_MAX> program{};
  if (::readlink("/proc/self/exe", program.data(), program.size() - 1) <= 0) {
    return Failure(kCrashProgram, "cannot find out where crashprobe lies");
  }
  std::string words = program.data();
  if (!config_file.empty()) words += " -f " + config_file;
  CorePattern pattern(kKernelSettings, words, kCoreSocket, settings);
  const Status done = action == Action::kSetUp ? pattern.SetUp() : pattern.Restore();
  if (done) {
    for (const std::string& refused : pattern.refused()) {
      std::fprintf(stderr, "%s: %s; taking the next best\n", kCrashProgram, refused.c_str());
    }
    return EXIT_SUCCESS;
  }
  const int result = Failure(kCrashProgram, done.error().message);
  // That systemd-coredump keeps it is what was asked for.
  return done.error().code == ErrorCode::kBusy ? EXIT_SUCCESS : result;
}

int Run(const CrashArguments& arguments, const Settings& settings) {
  switch (arguments.action) {
    case Action::kHelp:
      return PrintHelp(kAbout + DescribeCrashOptions());
    case Action::kVersion:
      return PrintVersion(kCrashProgram);
    case Action::kExplain:
      return ExplainCrash(arguments, settings);
    case Action::kSetUp:
    case Action::kRestore:
      return ChangeKernelSettings(arguments.action, arguments.config_file, settings);
    case Action::kSendCounts:
      return SendCrashCounts(arguments, settings);
    case Action::kWatch:
      return WatchCoredumps(arguments, settings);
    case Action::kSample:
      return ShowSampleCrash(arguments, settings);
    default:
      return ReportCrash(arguments, settings);
  }
}

// Whether this action collects nothing, and so asks nobody's consent.
bool IsAllowedWithoutConsent(const CrashArguments& arguments) {
  return !arguments.post || arguments.action == Action::kExplain ||
         arguments.action == Action::kRestore;
}

int Main(int argc, char** argv) {
  EnsureStandardDescriptors();
  auto arguments = ParseCrashArguments(argc, argv);
  if (!arguments) return UsageMistake(kCrashProgram, arguments.error().message, kProbeMistake);
  if (arguments->action == Action::kHelp || arguments->action == Action::kVersion) {
    return Run(*arguments, Settings());
  }
  std::string config_file;
  if (!arguments->config_file.empty()) {
    const auto found = FindConfigFile(arguments->config_file.c_str());
    if (!found) return Failure(kCrashProgram, found.error().message);
    config_file = *found;
    arguments->config_file = *found;
    tm_set_config_file(config_file.c_str());
  }
  if (!IsAllowedWithoutConsent(*arguments) && tm_is_opted_in() == 0) return EXIT_SUCCESS;
  const auto loaded = LoadSettings(config_file);
  if (!loaded) return Failure(kCrashProgram, loaded.error().message);
  return Run(*arguments, loaded->settings);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
