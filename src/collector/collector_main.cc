// telem-collector: receives records, keeps them, shows them.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "collector/collector.h"
#include "collector/collector_settings.h"
#include "collector/http/http_server.h"
#include "collector/http/listen_socket.h"
#include "collector/store/record_reader.h"
#include "collector/store/record_writer.h"
#include "collector/store/sqlite_store.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

constexpr const char* kProgram = "telem-collector";
constexpr char kAbout[] =
    "Usage: telem-collector [-f FILE] [--listen ADDRESS:PORT] [--store sqlite:PATH]\n"
    "Receive telemetry records over HTTP, keep them, and show them on a web page.\n"
    "\n";

enum : int { kListen = 256, kStore };

constexpr OptionRow kOptions[] = {
    {"config", 'f', "FILE", "read settings from FILE, not from\n/etc/telemetrics/collector.conf"},
    {"listen", kListen, "ADDRESS:PORT",
     "where to listen (default 127.0.0.1:8080; port 0: any free one)"},
    {"store", kStore, "sqlite:PATH",
     "where to keep records\n(default sqlite:/var/lib/telemetry-collector/records.db)"},
    {"help", 'h', nullptr, "show this and exit"},
    {"version", 'V', nullptr, "show the version and exit"},
};

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kExitConfig = 78;  // EX_CONFIG of sysexits.h

constexpr size_t kMaxRecordsWaiting = 1000;
constexpr size_t kMaxSearchesWaiting = 32;
constexpr SearchLimits kSearchLimits{.page = milliseconds(500), .step = milliseconds(2000)};
constexpr milliseconds kStopGrace{500};
constexpr timespec kLookAround{.tv_sec = 10, .tv_nsec = 0};

struct CommandLine {
  std::string config_file;
  std::string listen;
  std::string store;
};

int FailUsage(std::string_view what) { return UsageMistake(kProgram, what, kExitUsage); }

// Fills `out`, or says with which code the program ends.
std::optional<int> ParseCommandLine(int argc, char** argv, CommandLine& out) {
  const OptionTable options({kOptions});
  int chosen = 0;
  while ((chosen = options.Next(argc, argv)) != -1) {
    switch (chosen) {
      case 'f':
        out.config_file = optarg;
        if (out.config_file.empty()) return FailUsage("-f: needs the name of a file");
        break;
      case kListen:
        out.listen = optarg;
        if (!IsListenAddress(out.listen)) {
          return FailUsage("--listen: '" + PrintableAscii(out.listen, 80) +
                           "' is not ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080");
        }
        break;
      case kStore:
        out.store = optarg;
        if (!IsStore(out.store)) {
          return FailUsage("--store: '" + PrintableAscii(out.store, 80) +
                           "' is not sqlite: and an absolute path");
        }
        break;
      case 'h':
        return PrintHelp(kAbout + options.Help());
      case 'V':
        return PrintVersion(kProgram);
      default:
        return FailUsage(options.DescribeBad(chosen, argv));
    }
  }
  if (optind < argc) return FailUsage(DescribeUnexpected(argv[optind]));
  return std::nullopt;
}

// Signals end the program in order or not at all. Called before any thread is started, since
// threads inherit the mask.
sigset_t PrepareSignals() {
  // SIGXFSZ: reaching a file size limit is an error of one write. SIGHUP and the user signals mean
  // nothing here, and must not end a server by accident.
  for (const int ignored : {SIGPIPE, SIGXFSZ, SIGHUP, SIGUSR1, SIGUSR2}) {
    std::signal(ignored, SIG_IGN);
  }
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  return ending;
}

// A descriptor for each connection, and some for the store.
void RaiseDescriptorLimit(rlim_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<std::unique_ptr<SqliteStore>> OpenStore(const CollectorSettings& settings) {
  const std::string path = settings.store.substr(kSqlitePrefix.size());
  TELEM_CHECK(EnsureFolder(std::filesystem::path(path).parent_path(), 0750));
  return SqliteStore::Open(path, kSearchLimits);
}

// Says when records can no longer be stored, and when they can again: once, not for each record.
class StorageLog {
 public:
  void Tell(const std::optional<Error>& failure) {
    if (failure && !is_failing_) {
      Log(LogLevel::kError,
          "records cannot be stored, and their senders are told to try again: " + failure->message);
    } else if (!failure && is_failing_) {
      Log(LogLevel::kNotice, "records are stored again");
    }
    is_failing_ = failure.has_value();
  }

 private:
  bool is_failing_ = false;
};

// Serves until a signal of `ending` comes.
Status Serve(const CollectorSettings& settings, const sigset_t& ending) {
  TELEM_TRY(ListenSocket listening, Listen(settings.listen));
  auto store = OpenStore(settings);
  if (!store) return WithContext("store", std::move(store.error()));
  const SystemClock clock;
  RecordWriter writer(**store, clock, kMaxRecordsWaiting);
  RecordReader reader(**store, kMaxSearchesWaiting);
  Collector collector(settings.tids, writer, reader, clock);
  const HttpLimits limits{.body = settings.max_payload * 1024};
  RaiseDescriptorLimit(limits.connections + 64);
  TELEM_TRY(const std::unique_ptr<HttpServer> server,
            HttpServer::Start(std::move(listening.fd), limits, collector));

  std::printf("telem-collector: listening on %s\n", listening.url.c_str());
  std::fflush(stdout);
  StorageLog storage_log;
  while (sigtimedwait(&ending, nullptr, &kLookAround) < 0) {
    server->CloseStalled();
    storage_log.Tell(writer.LastFailure());
  }

  server->StopAccepting();
  reader.Stop();
  writer.Stop();
  server->Stop(kStopGrace);
  return {};
}

int Main(int argc, char** argv) {
  SetLogName(kProgram);
  CommandLine command_line;
  if (const auto code = ParseCommandLine(argc, argv, command_line)) return *code;
  auto settings = LoadCollectorSettings(command_line.config_file);
  if (!settings) {
    std::string_view mistakes = settings.error().message;
    while (!mistakes.empty()) Log(LogLevel::kError, TakeUntil(mistakes, '\n'));
    return kExitConfig;
  }
  if (!command_line.listen.empty()) settings->listen = command_line.listen;
  if (!command_line.store.empty()) settings->store = command_line.store;

  ::umask(0027);  // records are the business of the collector's user and group only
  const sigset_t ending = PrepareSignals();
  if (const Status status = Serve(*settings, ending); !status) {
    Log(LogLevel::kError, status.error().message);
    return kExitFailure;
  }
  return 0;
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
