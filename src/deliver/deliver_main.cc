// telem-deliver: records in, HTTP out, verdicts back. A filter that keeps nothing.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/log.h"
#include "deliver/caller_watch.h"
#include "deliver/deliverer.h"
#include "deliver/record_input.h"
#include "record/delivery_codec.h"
#include "record/http_codec.h"
#include "record/spool_file.h"

namespace telem {
namespace {

constexpr char kProgram[] = "telem-deliver";

constexpr int kExitUsage = 2;
constexpr std::chrono::seconds kIdleTime{5};

constexpr char kAbout[] =
    "Usage: telem-deliver --server URL [OPTION]... [FILE]...\n"
    "Send telemetry records to a server and print a verdict for each.\n"
    "\n"
    "FILEs are records as they lie in telemd's spool. Without any, standard input holds one such\n"
    "record (as 'telem-record-gen --echo --no-post' prints it) or a stream of records as telemd\n"
    "writes it. Without --server, the stream begins with a line of settings: this is how telemd\n"
    "runs it.\n"
    "\n";

constexpr OptionRow kOptions[] = {
    {"server", 's', "URL", "where to send: http:// or https://"},
    {"protocol", 'p', "WORD", "v2 (default), v3 or otlp (then URL/v1/logs is where to send)"},
    {"tidheader", 't', "LINE", "header line to send with each request, 'Name: value'"},
    {"header", 'H', "LINE", "another one; may be given several times"},
    {"cainfo", 'c', "FILE", "trust the certificates in FILE in place of the system's"},
    {"cert", 'E', "FILE", "the certificate to show to the server"},
    {"key", 'k', "FILE", "its key, where that is not in the same file"},
    {"proxy", 'x', "URL", "the proxy, in place of that in the environment (http_proxy ...)"},
    {"help", 'h', nullptr, "show this help"},
    {"version", 'V', nullptr, "show the version"},
};

constexpr char kMore[] =
    "\n"
    "A verdict is 'ID accepted|refused|later CODE RETRY-AFTER TEXT'.\n"
    "Exit codes: 0 all accepted, 1 some not, 2 wrong options.\n";

struct Options {
  DeliverySettings settings;
  bool by_hand = false;
  std::vector<std::string> header_lines;
  std::vector<std::string> files;
};

// One record in text form. Its id is the file's where that has one.
Status SendText(Deliverer& deliverer, const std::string& file_name, std::string_view bytes) {
  const auto name = ParseSpoolFileName(file_name.substr(file_name.rfind('/') + 1));
  TELEM_TRY(const SpoolFileParts parts,
            ParseSpoolFile(bytes, name ? std::optional(name->payload_size) : std::nullopt));
  deliverer.Send(name ? name->id : MakeRecordId(SystemClock().Now()), parts.header_text,
                 parts.payload);
  return {};
}

// Every file is tried; returns whether all could be read.
Result<bool> SendFiles(Deliverer& deliverer, const std::vector<std::string>& files) {
  bool all_read = true;
  for (const std::string& file : files) {
    if (!deliverer.HasRoom()) deliverer.Flush();
    while (!deliverer.HasRoom()) TELEM_CHECK(deliverer.Wait(-1, HttpClient::kRequestTime));
    const auto bytes = ReadFile(file, kMaxSpoolFile);
    const Status sent =
        bytes ? SendText(deliverer, file, *bytes) : Status(std::unexpected(bytes.error()));
    if (sent) continue;
    const std::string& message = sent.error().message;
    std::string told = message.contains(file) ? "" : "'" + file + "': ";
    told += message;
    Log(LogLevel::kError, told);
    all_read = false;
  }
  TELEM_CHECK(deliverer.Finish());
  return all_read;
}

Status SendStream(Deliverer& deliverer, RecordInput& input, bool ends_when_idle) {
  auto last_work = std::chrono::steady_clock::now();
  while (true) {
    while (deliverer.HasRoom()) {
      const auto record = input.TakeRecord();
      if (!record) {
        // Those before it have their verdicts coming.
        TELEM_CHECK(deliverer.Finish());
        return std::unexpected(record.error());
      }
      if (!*record) break;
      deliverer.Send((*record)->id, (*record)->headers, (*record)->payload);
      last_work = std::chrono::steady_clock::now();
    }
    deliverer.Flush();
    if (input.at_end() && deliverer.HasRoom()) return deliverer.Finish();
    const bool wants_more = deliverer.HasRoom() && !input.at_end();
    if (deliverer.under_way() > 0) last_work = std::chrono::steady_clock::now();
    const auto idle = std::chrono::steady_clock::now() - last_work;
    if (ends_when_idle && idle >= kIdleTime) return {};
    TELEM_TRY(const bool is_readable, deliverer.Wait(wants_more ? STDIN_FILENO : -1, kIdleTime));
    if (is_readable) TELEM_CHECK(input.Read());
  }
}

// Behind a socket of its own this process is no user who could read the machine's keys: the service
// manager hands over the one that it needs, as the credential `clientkey` (systemd.exec(5),
// LoadCredential=).
void TakeKeyOfServiceManager(DeliverySettings& settings) {
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || settings.clientkey.empty()) return;
  std::string key = std::string(folder) + "/clientkey";
  if (::access(key.c_str(), F_OK) == 0) settings.clientkey = std::move(key);
}

// What is delivered can wait, what hands records over waits for its answer: telemd, and whoever
// else has work to do, goes first. Under a service manager that says otherwise it is as that says.
void GiveWay() {
  constexpr int kNice = 10;
  (void)!::nice(kNice);
}

// As telemd runs it: settings, then records.
Result<bool> RunForDaemon() {
  TELEM_CHECK(EndWithCaller());
  GiveWay();
  RecordInput input(STDIN_FILENO);
  while (true) {
    TELEM_TRY(const auto line, input.TakeLine());
    if (line) {
      TELEM_TRY(DeliverySettings settings, ParseDeliverySettings(*line));
      TakeKeyOfServiceManager(settings);
      TELEM_TRY(const auto deliverer, Deliverer::Open(settings, {}));
      TELEM_CHECK(SendStream(*deliverer, input, true));
      return true;
    }
    TELEM_CHECK(input.Read());
  }
}

Status CheckFile(const char* option, const std::string& path) {
  if (path.empty()) return {};
  struct stat file;
  int err = 0;
  if (::stat(path.c_str(), &file) != 0 || ::access(path.c_str(), R_OK) != 0) {
    err = errno;
  } else if (S_ISDIR(file.st_mode)) {
    err = EISDIR;
  }
  return err == 0 ? Status() : SystemError(std::string(option) + " '" + path + "'", err);
}

// What libcurl would say of each record. telemd has it as their verdict, so that they wait until it
// is put right; a person has it at once.
Status CheckByHand(const DeliverySettings& settings) {
  if (!settings.proxy.empty() && !IsProxyUrl(settings.proxy)) {
    // A password may be in it, so it is not repeated.
    return Fail(ErrorCode::kInvalid,
                "proxy: its value is not an http://, https://, socks5:// or socks5h:// URL");
  }
  TELEM_CHECK(CheckFile("cainfo", settings.cainfo));
  TELEM_CHECK(CheckFile("cert", settings.clientcert));
  return CheckFile("key", settings.clientkey);
}

// Returns whether every record was accepted.
Result<bool> RunByHand(Deliverer& deliverer, const Options& options) {
  if (!options.files.empty()) {
    TELEM_TRY(const bool all_read, SendFiles(deliverer, options.files));
    return all_read && deliverer.all_accepted();
  }
  RecordInput input(STDIN_FILENO);
  while (!input.IsText()) TELEM_CHECK(input.Read());
  if (*input.IsText()) {
    while (!input.at_end()) TELEM_CHECK(input.Read());
    TELEM_CHECK(SendText(deliverer, "", input.all()));
    TELEM_CHECK(deliverer.Finish());
  } else {
    TELEM_CHECK(SendStream(deliverer, input, false));
  }
  return deliverer.all_accepted();
}

// Which of the settings an option sets, or none.
std::string* FindSetting(int choice, DeliverySettings& settings) {
  switch (choice) {
    case 's':
      return &settings.server;
    case 'p':
      return &settings.server_protocol;
    case 't':
      return &settings.tidheader;
    case 'c':
      return &settings.cainfo;
    case 'E':
      return &settings.clientcert;
    case 'k':
      return &settings.clientkey;
    case 'x':
      return &settings.proxy;
    default:
      return nullptr;
  }
}

// Fills `options`, or says with which code the program ends.
std::optional<int> ParseOptions(int argc, char** argv, Options& options) {
  const OptionTable table({kOptions});
  DeliverySettings& settings = options.settings;
  settings.tidheader = kDefaultTidHeader;
  bool has_others = false;
  int choice;
  while ((choice = table.Next(argc, argv)) != -1) {
    if (choice == 'h') return PrintHelp(kAbout + table.Help() + kMore);
    if (choice == 'V') return PrintVersion(kProgram);
    std::string* const value = FindSetting(choice, settings);
    if (value != nullptr) {
      *value = optarg;
    } else if (choice == 'H') {
      options.header_lines.emplace_back(optarg);
    } else {
      return UsageMistake(kProgram, table.DescribeBad(choice, argv), kExitUsage);
    }
    (choice == 's' ? options.by_hand : has_others) = true;
  }
  options.files.assign(argv + optind, argv + argc);
  if (!options.by_hand && (has_others || !options.files.empty())) {
    return UsageMistake(kProgram, "option -s/--server is required", kExitUsage);
  }
  return std::nullopt;
}

int Main(int argc, char** argv) {
  SetLogName(kProgram);
  ::signal(SIGPIPE, SIG_IGN);
  Options options;
  if (const auto code = ParseOptions(argc, argv, options)) return *code;
  Result<bool> done;
  if (options.by_hand) {
    if (const Status good = CheckByHand(options.settings); !good) {
      return UsageMistake(kProgram, good.error().message, kExitUsage);
    }
    const auto deliverer = Deliverer::Open(options.settings, options.header_lines);
    if (!deliverer) return UsageMistake(kProgram, deliverer.error().message, kExitUsage);
    done = RunByHand(**deliverer, options);
  } else {
    done = RunForDaemon();
  }
  if (!done) return Failure(kProgram, done.error().message);
  return *done ? 0 : 1;
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
