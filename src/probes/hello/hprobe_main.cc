// hprobe: sends a greeting, or once a day a heartbeat, so that one sees that the way to the server
// is open. Also the smallest example of a probe.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "config/settings.h"
#include "probes/common/probe_main.h"
#include "telemetry.h"

namespace telem {
namespace {

constexpr char kProgram[] = "hprobe";

constexpr char kAbout[] =
    "Usage: hprobe [OPTION]...\n"
    "Send a record that says hello to the telemetry daemon.\n"
    "\n";

constexpr int kJson = 256;  // has no letter

constexpr OptionRow kOptions[] = {
    {"heartbeat", 'H', nullptr, "send the daily heartbeat instead"},
    {"no-post", 'n', nullptr, "print the record instead of sending it"},
    {"json", kJson, nullptr, "with -n: print it as one JSON object"},
    {"config-file", 'f', "FILE", "take the configuration from FILE"},
    {"help", 'h', nullptr, "print this help"},
    {"version", 'V', nullptr, "print the version"},
};

struct Arguments {
  const char* rest = "/hello/world";
  std::string config_file;
  bool post = true;
  RecordForm form = RecordForm::kText;
};

struct FreeRecord {
  void operator()(telem_ref* ref) const { tm_free_record(ref); }
};

int Report(const Arguments& arguments) {
  if (!arguments.config_file.empty()) tm_set_config_file(arguments.config_file.c_str());
  if (arguments.post && tm_is_opted_in() == 0) return EXIT_SUCCESS;
  const auto loaded = LoadSettings(arguments.config_file);
  if (!loaded) return Failure(kProgram, loaded.error().message);
  const std::string classification = loaded->settings.classification_domain + arguments.rest;

  telem_ref* ref = nullptr;
  int error = tm_create_record(&ref, 1, classification.c_str(), 1);
  const std::unique_ptr<telem_ref, FreeRecord> record(ref);
  if (error == 0) error = tm_set_payload(ref, "hello\n");
  if (error != 0) return Failure(kProgram, "cannot make the record");
  if (!arguments.post) {
    const Status shown = ShowRecord(*ref, arguments.form);
    return shown ? EXIT_SUCCESS : Failure(kProgram, shown.error().message);
  }
  error = tm_send_record(ref);
  if (error != 0) return Failure(kProgram, ExplainSendError(error));
  std::puts("Successfully sent record to daemon.");
  return EXIT_SUCCESS;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  const auto mistake = [](std::string_view what) {
    return UsageMistake(kProgram, what, kProbeMistake);
  };
  const OptionTable options({kOptions});
  bool json = false;
  int letter;
  while ((letter = options.Next(argc, argv)) != -1) {
    switch (letter) {
      case 'H':
        arguments.rest = "/heartbeat/ping";
        break;
      case 'n':
        arguments.post = false;
        break;
      case kJson:
        json = true;
        break;
      case 'f': {
        auto found = FindConfigFile(optarg);
        if (!found) return Failure(kProgram, found.error().message);
        arguments.config_file = std::move(*found);
        break;
      }
      case 'h':
        return PrintHelp(kAbout + options.Help());
      case 'V':
        return PrintVersion(kProgram);
      default:
        return mistake(options.DescribeBad(letter, argv));
    }
  }
  if (optind < argc) return mistake(DescribeUnexpected(argv[optind]));
  if (json && arguments.post) return mistake("--json goes with -n/--no-post only");
  if (json) arguments.form = RecordForm::kJson;
  return Report(arguments);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
