// telemd: takes records from probes, keeps them, and has them delivered.
#include <malloc.h>

#include <csignal>
#include <string>

#include "base/command_line.h"
#include "base/files.h"
#include "base/log.h"
#include "config/settings.h"
#include "daemon/daemon.h"

namespace {

constexpr char kProgram[] = "telemd";

constexpr int kExitUsage = 2;
constexpr int kExitConfig = 78;  // EX_CONFIG of sysexits.h

constexpr char kAbout[] =
    "Usage: telemd [OPTION]...\n"
    "Take records from probes, keep them, and have them delivered to the server that is\n"
    "configured.\n"
    "\n";

constexpr telem::OptionRow kOptions[] = {
    {"config-file", 'f', "FILE", "read FILE instead of /etc/telemetrics/telemetrics.conf"},
    {"help", 'h', nullptr, "show this help"},
    {"version", 'V', nullptr, "show the version"},
};

constexpr char kMore[] =
    "\n"
    "Signals: TERM and INT end it, HUP reads the configuration again and tries delivery at once.\n"
    "Exit codes: 0 ended by a signal, 1 cannot run, 2 wrong options, 78 wrong configuration.\n";

// Only the documented signals do anything, and they come through the loop.
void PrepareSignals() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&handled, signal);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR,
                           SIGSTKFLT, SIGXFSZ, SIGXCPU}) {
    ::signal(signal, SIG_IGN);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) ::signal(signal, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  telem::SetLogName(kProgram);
  const telem::OptionTable options({kOptions});
  std::string config_file;
  int choice;
  while ((choice = options.Next(argc, argv)) != -1) {
    switch (choice) {
      case 'f':
        config_file = optarg;
        break;
      case 'h':
        return telem::PrintHelp(kAbout + options.Help() + kMore);
      case 'V':
        return telem::PrintVersion(kProgram);
      default:
        return telem::UsageMistake(kProgram, options.DescribeBad(choice, argv), kExitUsage);
    }
  }
  if (optind < argc) {
    return telem::UsageMistake(kProgram, telem::DescribeUnexpected(argv[optind]), kExitUsage);
  }

  // What a burst took goes back to the system when it is over, instead of raising the threshold
  // for ever (mallopt(3)).
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
  PrepareSignals();

  telem::SdNotify notify = telem::SdNotify::FromEnvironment();
  auto sockets = telem::TakePassedSockets();
  if (!sockets) {
    telem::Log(telem::LogLevel::kError, sockets.error().message);
    return 1;
  }
  auto loaded = telem::LoadSettingsStrictly(config_file);
  if (!loaded) {
    telem::LogLines(telem::LogLevel::kError, loaded.error().message);
    return kExitConfig;
  }
  for (const std::string& warning : loaded->warnings) {
    telem::Log(telem::LogLevel::kWarning, warning);
  }
  const telem::SleepCountingClock clock;
  telem::Daemon daemon(
      clock, std::move(loaded->settings),
      {.config_file = config_file,
       .deliver_program = telem::OwnFolder() + "/../libexec/telemetrics/telem-deliver",
       .sockets = std::move(*sockets),
       .notify = std::move(notify)});
  loaded = {};
  telem::Status status = daemon.Open();
  if (status) status = daemon.Run();
  if (!status) {
    telem::Log(telem::LogLevel::kError, status.error().message);
    return 1;
  }
  return 0;
}
