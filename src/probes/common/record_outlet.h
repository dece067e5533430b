// Where a probe's records go: to telemd through libtelemetry, or with -n/--no-post to the screen.
// Also the options that all probes share.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/result.h"
#include "config/settings.h"
#include "probes/common/probe_main.h"
#include "probes/common/sent_events.h"

namespace telem {

inline constexpr int kJsonOption = 1000;  // have no letter
inline constexpr int kSampleOption = 1001;

// What a probe has that sends records, ...
inline constexpr OptionRow kProbeOptions[] = {
    {"no-post", 'n', nullptr, "print the records instead of sending them"},
    {"json", kJsonOption, nullptr, "with -n: print each as one JSON object"},
    {"sample", kSampleOption, nullptr, "print the record of sample evidence that is built in"},
    {"config-file", 'f', "FILE", "take the configuration from FILE"},
    {"help", 'h', nullptr, "print this help"},
    {"version", 'V', nullptr, "print the version"},
};
// ... and one that sends none.
inline constexpr std::span<const OptionRow> kOptionsWithoutRecords =
    std::span(kProbeOptions).subspan(3);

struct ProbeOptions {
  std::string config_file = {};
  bool post = true;
  bool json = false;
  bool sample = false;  // then `post` is false
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
  // What it tells of the event, where there may be several records of one: "panic". No blank.
  std::string aspect = {};
};

// Whether trying again will not help: telemd never takes this record.
bool IsHopeless(const Error& error);

class RecordOutlet {
 public:
  // Reads the configuration.
  static Result<RecordOutlet> Open(const ProbeOptions& options);
  // Of a probe that has read it.
  RecordOutlet(ProbeOptions options, Settings settings)
      : options_(std::move(options)),
        settings_(std::move(settings)),
        opened_(std::chrono::floor<std::chrono::seconds>(SystemClock().Now())) {}

  // Whether records are wanted: the user has not opted out, or they are only shown.
  bool IsWanted() const;

  // Those that it was opened with.
  const Settings& settings() const { return settings_; }

  // Prints the record, or sends it; success means that telemd has taken it over.
  Status Hand(const ProbeRecord& record) const;

  // As Hand(), unless telemd has had a record of the same event and aspect from any probe before.
  Status HandOnce(const ProbeRecord& record) const;

  // For evidence that cannot be removed in one step, when telemd has its records: what is left of
  // it after a kill would look like something else. `id`: as an event id.
  Status NoteGivenUp(const std::string& id) const;
  Result<bool> WasGivenUp(const std::string& id) const;

  // Whether telemd remembers that it has taken over a record of this event. It forgets in time.
  bool HasHanded(std::string_view event_id) const;

  // Whether records are sent, and not only shown.
  bool posts() const { return options_.post; }

  // For probes that look back. Where nobody has written down yet since when there is consent, wakes
  // telemd, which does; else a machine whose telemd has nothing to do would never know.
  void EnsureConsentStart() const;

  // Whether evidence of this time is from before the user's consent, and so must not be sent. While
  // the start of consent is not written down, that is all from before this was opened.
  bool IsBeforeConsent(std::chrono::sys_seconds when) const;

 private:
  SentEvents Remembered() const;

  ProbeOptions options_;
  Settings settings_;
  std::chrono::sys_seconds opened_;
};

}  // namespace telem
