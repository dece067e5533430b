// telem-deliver: records in, HTTP out, verdicts back. A filter that keeps nothing.
#include <getopt.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "deliver/answer.h"
#include "deliver/caller_watch.h"
#include "deliver/http_client.h"
#include "deliver/record_input.h"
#include "deliver/v2_protocol.h"
#include "record/delivery_codec.h"
#include "record/http_codec.h"
#include "record/spool_file.h"

namespace telem {
namespace {

constexpr char kProgram[] = "telem-deliver";

constexpr int kExitUsage = 2;
constexpr size_t kMaxUnderWay = 10;
constexpr std::chrono::seconds kIdleTime{5};

constexpr char kHelp[] =
    "Usage: telem-deliver --server URL [OPTION]... [FILE]...\n"
    "Send telemetry records to a server and print a verdict for each.\n"
    "\n"
    "FILEs are records as they lie in telemd's spool. Without any, standard input holds one such\n"
    "record (as 'telem-record-gen --echo --no-post' prints it) or a stream of records as telemd\n"
    "writes it. Without --server, the stream begins with a line of settings: this is how telemd\n"
    "runs it.\n"
    "\n"
    "  -s, --server URL      where to send: http:// or https://\n"
    "  -t, --tidheader LINE  header line to send with each record, 'Name: value'\n"
    "  -c, --cainfo FILE     trust the certificates in FILE in place of the system's\n"
    "  -h, --help            show this help\n"
    "  -V, --version         show the version\n"
    "\n"
    "A verdict is 'ID accepted|refused|later CODE RETRY-AFTER TEXT'.\n"
    "Exit codes: 0 all accepted, 1 some not, 2 wrong options.\n";

struct Options {
  DeliverySettings settings;
  bool by_hand = false;
  std::vector<std::string> files;
};

// Sends records, keeps count, writes verdicts to standard output.
class Deliverer {
 public:
  explicit Deliverer(DeliverySettings settings) : settings_(std::move(settings)) {}

  Status Open() {
    TELEM_TRY(auto client, HttpClient::Open(settings_.server, settings_.cainfo));
    client_.emplace(std::move(client));
    return {};
  }

  void Send(const RecordId& id, std::string_view header_text, std::string_view payload) {
    auto request = MakeV2Request(header_text, payload, settings_.tidheader);
    if (!request) {
      return Tell({.id = id, .outcome = Outcome::kRefused, .text = request.error().message});
    }
    client_->Post(std::move(*request), [this, id](const HttpAnswer& answer) {
      const std::string words = answer.status != 0 ? WordsOf(answer.body) : answer.trouble;
      Tell({.id = id,
            .outcome = OutcomeOf(answer.status),
            .code = answer.status,
            .retry_after = answer.retry_after,
            .text = words});
    });
  }

  // Goes on until `fd` (or -1) has something to read, or something ended. False after `wait`
  // without either.
  Result<bool> Wait(int fd, std::chrono::milliseconds wait) {
    if (!verdicts_.empty()) wait = {};  // these are to be told now
    TELEM_TRY(const bool is_readable, client_->Wait(fd, wait));
    TELEM_CHECK(WriteAll(STDOUT_FILENO, verdicts_));
    verdicts_.clear();
    return is_readable;
  }

  // Until nothing is under way.
  Status Finish() {
    while (under_way() > 0 || !verdicts_.empty()) {
      TELEM_CHECK(Wait(-1, HttpClient::kRequestTime));
    }
    return {};
  }

  size_t under_way() const { return client_->under_way(); }
  bool HasRoom() const { return under_way() < kMaxUnderWay; }
  bool all_accepted() const { return all_accepted_; }

 private:
  void Tell(const Verdict& verdict) {
    if (verdict.outcome != Outcome::kAccepted) all_accepted_ = false;
    AppendVerdict(verdicts_, verdict);
  }

  DeliverySettings settings_;
  std::optional<HttpClient> client_;
  std::string verdicts_;
  bool all_accepted_ = true;
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
    if (input.at_end() && deliverer.HasRoom()) return deliverer.Finish();
    const bool wants_more = deliverer.HasRoom() && !input.at_end();
    if (deliverer.under_way() > 0) last_work = std::chrono::steady_clock::now();
    const auto idle = std::chrono::steady_clock::now() - last_work;
    if (ends_when_idle && idle >= kIdleTime) return {};
    TELEM_TRY(const bool is_readable, deliverer.Wait(wants_more ? STDIN_FILENO : -1, kIdleTime));
    if (is_readable) TELEM_CHECK(input.Read());
  }
}

Status CheckSettings(const DeliverySettings& settings) {
  const auto bad = [](std::string_view name, std::string_view value, std::string_view what) {
    return Fail(ErrorCode::kInvalid,
                std::string(name) + ": '" + PrintableAscii(value, 80) + "' " + std::string(what));
  };
  if (!settings.server.starts_with("http://") && !settings.server.starts_with("https://")) {
    return bad("server", settings.server, "is not an http:// or https:// URL");
  }
  if (!IsHttpHeaderLine(settings.tidheader)) {
    return bad("tidheader", settings.tidheader, "is not one header line 'Name: value'");
  }
  return {};
}

// As telemd runs it: settings, then records.
Result<bool> RunForDaemon() {
  TELEM_CHECK(EndWithCaller());
  RecordInput input(STDIN_FILENO);
  while (true) {
    TELEM_TRY(const auto line, input.TakeLine());
    if (line) {
      TELEM_TRY(DeliverySettings settings, ParseDeliverySettings(*line));
      TELEM_CHECK(CheckSettings(settings));
      Deliverer deliverer(std::move(settings));
      TELEM_CHECK(deliverer.Open());
      TELEM_CHECK(SendStream(deliverer, input, true));
      return true;
    }
    TELEM_CHECK(input.Read());
  }
}

// Returns whether every record was accepted.
Result<bool> RunByHand(const Options& options) {
  Deliverer deliverer(options.settings);
  TELEM_CHECK(deliverer.Open());
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

// Fills `options`, or says with which code the program ends.
std::optional<int> ParseOptions(int argc, char** argv, Options& options) {
  static const option kOptions[] = {
      {"server", required_argument, nullptr, 's'}, {"tidheader", required_argument, nullptr, 't'},
      {"cainfo", required_argument, nullptr, 'c'}, {"help", no_argument, nullptr, 'h'},
      {"version", no_argument, nullptr, 'V'},      {}};
  const auto mistake = [](std::string_view what) {
    return UsageMistake(kProgram, what, kExitUsage);
  };
  DeliverySettings& settings = options.settings;
  settings.tidheader = kDefaultTidHeader;
  bool has_others = false;
  opterr = 0;
  int choice;
  while ((choice = ::getopt_long(argc, argv, ":s:t:c:hV", kOptions, nullptr)) != -1) {
    switch (choice) {
      case 's':
        settings.server = optarg;
        options.by_hand = true;
        break;
      case 't':
        settings.tidheader = optarg;
        has_others = true;
        break;
      case 'c':
        settings.cainfo = optarg;
        has_others = true;
        break;
      case 'h':
        return PrintHelp(kHelp);
      case 'V':
        return PrintVersion(kProgram);
      default:
        return mistake(DescribeBadOption(choice, kOptions, argv));
    }
  }
  options.files.assign(argv + optind, argv + argc);
  if (!options.by_hand && (has_others || !options.files.empty())) {
    return mistake("option -s/--server is required");
  }
  if (!options.by_hand) return std::nullopt;
  if (const Status good = CheckSettings(settings); !good) return mistake(good.error().message);
  return std::nullopt;
}

int Main(int argc, char** argv) {
  SetLogName(kProgram);
  ::signal(SIGPIPE, SIG_IGN);
  Options options;
  if (const auto code = ParseOptions(argc, argv, options)) return *code;
  const auto done = options.by_hand ? RunByHand(options) : RunForDaemon();
  if (!done) return Failure(kProgram, done.error().message);
  return *done ? 0 : 1;
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
