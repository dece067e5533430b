// telem-record-gen: makes a record out of what a script gives it.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/probe_main.h"
#include "record/classification.h"
#include "record/headers.h"
#include "record/record_id.h"
#include "telemetry.h"

namespace telem {
namespace {

constexpr char kProgram[] = "telem-record-gen";

constexpr char kAbout[] =
    "Usage: telem-record-gen -c CLASS [OPTION]...\n"
    "Send a record to the telemetry daemon. Its payload is read from standard input, unless -p or\n"
    "-P is given.\n"
    "\n";

constexpr OptionRow kOptions[] = {
    {"class", 'c', "CLASS", "classification DOMAIN/PROBE/REST, each part 1 to 40 characters"},
    {"severity", 's', "N", "1 low (default), 2 medium, 3 high, 4 critical"},
    {"payload", 'p', "TEXT", "the payload, at most 256 KiB"},
    {"payload-file", 'P', "FILE", "read the payload from FILE"},
    {"record-version", 'R', "N", "version of the payload's format (default 1)"},
    {"event-id", 'e', "ID", "32 lower-case hex digits (default: random ones)"},
    {"echo", 'o', nullptr, "print the record: headers, payload, newline"},
    {"no-post", 'n', nullptr, "do not send the record"},
    {"config-file", 'f', "FILE", "take the configuration from FILE"},
    {"help", 'h', nullptr, "print this help"},
    {"version", 'V', nullptr, "print the version"},
};

struct Arguments {
  std::string classification;
  uint32_t severity = 1;
  uint32_t payload_version = 1;
  std::optional<std::string> payload;
  std::string payload_file;
  std::string event_id;
  std::string config_file;
  bool echo = false;
  bool post = true;
  bool help = false;
  bool version = false;
};

Result<uint32_t> ParseNumber(std::string_view text, const char* name, uint32_t low, uint32_t high) {
  const auto value = ParseUnsigned(text);
  if (value && *value >= low && *value <= high) return static_cast<uint32_t>(*value);
  std::string message = std::string(name) + ": '" + std::string(text) + "' is not a number from ";
  AppendUnsigned(message, low);
  message += " to ";
  AppendUnsigned(message, high);
  return Fail(ErrorCode::kInvalid, std::move(message));
}

std::unexpected<Error> Mistake(std::string message) {
  return Fail(ErrorCode::kInvalid, std::move(message));
}

// Takes the value `optarg` of one option.
Status TakeOption(int letter, Arguments& arguments) {
  switch (letter) {
    case 'c':
      arguments.classification = optarg;
      if (IsValidClassification(arguments.classification)) return {};
      return Mistake("-c/--class: '" + arguments.classification +
                     "' is not DOMAIN/PROBE/REST, three parts of 1 to 40 printable characters");
    case 's': {
      TELEM_TRY(arguments.severity, ParseNumber(optarg, "-s/--severity", 1, 4));
      return {};
    }
    case 'R': {
      TELEM_TRY(arguments.payload_version,
                ParseNumber(optarg, "-R/--record-version", 0, UINT32_MAX));
      return {};
    }
    case 'e':
      arguments.event_id = optarg;
      if (IsLowerHex(arguments.event_id, kHexIdSize)) return {};
      return Mistake("-e/--event-id: '" + arguments.event_id + "' is not 32 lower-case hex digits");
    case 'p':
      arguments.payload = optarg;
      return {};
    case 'P':
      arguments.payload_file = optarg;
      if (!arguments.payload_file.empty()) return {};
      return Mistake("-P/--payload-file: the name of the file is empty");
    case 'f': {
      TELEM_TRY(arguments.config_file, FindConfigFile(optarg));
      return {};
    }
    case 'o':
      arguments.echo = true;
      return {};
    case 'n':
      arguments.post = false;
      return {};
    case 'h':
      arguments.help = true;
      return {};
    case 'V':
      arguments.version = true;
      return {};
    default:
      return Mistake("unknown option");
  }
}

Result<Arguments> ParseArguments(const OptionTable& options, int argc, char** argv) {
  Arguments arguments;
  int letter;
  while ((letter = options.Next(argc, argv)) != -1) {
    if (letter == '?' || letter == ':') return Mistake(options.DescribeBad(letter, argv));
    TELEM_CHECK(TakeOption(letter, arguments));
    if (arguments.help || arguments.version) return arguments;
  }
  if (optind < argc) return Mistake(DescribeUnexpected(argv[optind]));
  if (arguments.classification.empty()) return Mistake("option -c/--class is required");
  if (arguments.payload && !arguments.payload_file.empty()) {
    return Mistake("-p/--payload and -P/--payload-file cannot both be given");
  }
  return arguments;
}

Result<std::string> ReadPayload(const Arguments& arguments) {
  Result<std::string> payload;
  std::string source = "payload";
  if (arguments.payload) {
    payload = *arguments.payload;
  } else if (!arguments.payload_file.empty()) {
    // Opened as it is: a pipe of the shell (`-P <(dmesg)`) is waited for.
    TELEM_TRY(const UniqueFd fd, OpenAt(AT_FDCWD, arguments.payload_file, O_RDONLY));
    payload = ReadAll(fd.get(), kMaxPayload);
    source = "payload file '" + arguments.payload_file + "'";
  } else {
    payload = ReadAll(STDIN_FILENO, kMaxPayload);
    source = "standard input";
  }
  const bool too_large =
      payload ? payload->size() > kMaxPayload : payload.error().code == ErrorCode::kTooLarge;
  if (too_large) return Fail(ErrorCode::kTooLarge, source + ": more than 256 KiB");
  if (!payload) return WithContext(source, std::move(payload.error()));
  if (payload->contains('\0')) return Mistake(source + ": a payload cannot hold a NUL byte");
  return payload;
}

struct FreeRecord {
  void operator()(telem_ref* ref) const { tm_free_record(ref); }
};

Result<std::unique_ptr<telem_ref, FreeRecord>> MakeRecord(const Arguments& arguments,
                                                          const std::string& payload) {
  telem_ref* ref = nullptr;
  int error = tm_create_record(&ref, arguments.severity, arguments.classification.c_str(),
                               arguments.payload_version);
  std::unique_ptr<telem_ref, FreeRecord> record(ref);
  if (error == 0 && !arguments.event_id.empty()) {
    error = tm_set_event_id(ref, arguments.event_id.c_str());
  }
  if (error == 0) error = tm_set_payload(ref, payload.c_str());
  if (error != 0) return SystemError("cannot make the record", -error);
  return record;
}

int Main(int argc, char** argv) {
  const OptionTable options({kOptions});
  const auto arguments = ParseArguments(options, argc, argv);
  if (!arguments) return UsageMistake(kProgram, arguments.error().message, kProbeMistake);
  if (arguments->help) return PrintHelp(kAbout + options.Help());
  if (arguments->version) return PrintVersion(kProgram);

  // Before consent is asked for: whoever writes into our pipe should not die of its end.
  const auto payload = ReadPayload(*arguments);
  if (!payload) return Failure(kProgram, payload.error().message);
  if (!arguments->config_file.empty()) tm_set_config_file(arguments->config_file.c_str());
  // Who opted out may still look at what would be sent.
  if (arguments->post && tm_is_opted_in() == 0) return EXIT_SUCCESS;

  const auto record = MakeRecord(*arguments, *payload);
  if (!record) return Failure(kProgram, record.error().message);
  if (arguments->echo) {
    const auto shown = ShowRecord(**record, RecordForm::kText);
    if (!shown) return Failure(kProgram, shown.error().message);
  }
  if (!arguments->post) return EXIT_SUCCESS;
  const int error = tm_send_record(record->get());
  return error == 0 ? EXIT_SUCCESS : Failure(kProgram, ExplainSendError(error));
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
