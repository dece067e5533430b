// telemd: takes records from probes, keeps them, and has them delivered.
#include <getopt.h>
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

constexpr char kHelp[] =
    "Usage: telemd [OPTION]...\n"
    "Take records from probes, keep them, and have them delivered to the server that is\n"
    "configured.\n"
    "\n"
    "  -f, --config-file FILE  read FILE instead of /etc/telemetrics/telemetrics.conf\n"
    "  -h, --help              show this help\n"
    "  -V, --version           show the version\n"
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
  static const option kOptions[] = {{"config-file", required_argument, nullptr, 'f'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {"version", no_argument, nullptr, 'V'},
                                    {}};
  telem::SetLogName(kProgram);
  std::string config_file;
  opterr = 0;
  int choice;
  while ((choice = ::getopt_long(argc, argv, ":f:hV", kOptions, nullptr)) != -1) {
    switch (choice) {
      case 'f':
        config_file = optarg;
        break;
      case 'h':
        return telem::PrintHelp(kHelp);
      case 'V':
        return telem::PrintVersion(kProgram);
      default:
        return telem::UsageMistake(kProgram, telem::DescribeBadOption(choice, kOptions, argv),
                                   kExitUsage);
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
  const telem::SystemClock clock;
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
