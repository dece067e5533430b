// Where a probe's records go: to telemd through libtelemetry, or with -n/--no-post to the screen.
// Also the options that all probes share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/settings.h"
#include "probes/common/probe_main.h"

namespace telem {

// What stands in the help of every probe that has these options, and their rows and letters for
// getopt_long(3).
#define TELEM_PROBE_HELP                                                  \
  "  -n, --no-post           print the records instead of sending them\n" \
  "      --json              with -n: print each as one JSON object\n"    \
  "  -f, --config-file FILE  take the configuration from FILE\n"          \
  "  -h, --help              print this help\n"                           \
  "  -V, --version           print the version\n"
#define TELEM_PROBE_OPTIONS                                                                  \
  {"no-post", no_argument, nullptr, 'n'}, {"json", no_argument, nullptr, kJsonOption},       \
      {"config-file", required_argument, nullptr, 'f'}, {"help", no_argument, nullptr, 'h'}, \
      {"version", no_argument, nullptr, 'V'}
#define TELEM_PROBE_LETTERS "nf:hV"

inline constexpr int kJsonOption = 1000;  // has no letter

struct ProbeOptions {
  std::string config_file = {};
  bool post = true;
  bool json = false;
  bool help = false;
  bool version = false;
};

// Takes one of the shared options; false when `letter` is none of them.
Result<bool> TakeProbeOption(int letter, const char* argument, ProbeOptions& options);

// What is wrong with the shared options together.
Status CheckProbeOptions(const ProbeOptions& options);

// What a probe has found out.
struct ProbeRecord {
  std::string classification;  // without the domain: "kernel/bug"
  uint32_t severity = 1;
  std::string payload;   // NUL bytes become `?`; cut at the limit of a payload
  std::string event_id;  // 32 lower-case hex digits; empty: a random one
};

class RecordOutlet {
 public:
  // Reads the configuration.
  static Result<RecordOutlet> Open(const ProbeOptions& options);
  // Of a probe that has read it.
  RecordOutlet(ProbeOptions options, Settings settings)
      : options_(std::move(options)), settings_(std::move(settings)) {}

  // Whether records are wanted: the user has not opted out, or they are only shown.
  bool IsWanted() const;

  // Prints the record, or sends it; success means that telemd has taken it over.
  Status Hand(const ProbeRecord& record) const;

 private:
  ProbeOptions options_;
  Settings settings_;
};

}  // namespace telem
