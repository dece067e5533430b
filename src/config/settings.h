// The settings of a machine: every key of telemetrics.conf, its default and its rules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "record/http_codec.h"

namespace telem {

enum class RateLimitStrategy { kSpool, kDrop };
enum class SpoolFullPolicy { kDropNew, kDropOldest };
enum class SpoolSync { kBatch, kAlways };
enum class ConsentMode { kOptOut, kOptIn };
enum class CrashForward { kAuto, kOff, kFile, kSystemdCoredump };

// Plain values; -1 switches a limit off. docs/man/telemetrics.conf.5 says what each means.
struct Settings {
  // Where records go.
  std::string server;
  std::string server_protocol = "v2";
  std::string cainfo;
  std::string clientcert;
  std::string clientkey;
  std::string proxy;
  std::string otlp_headers;
  std::string tidheader{kDefaultTidHeader};
  bool record_server_delivery_enabled = true;
  bool record_retention_enabled = false;

  // How much may go out.
  bool rate_limit_enabled = true;
  int64_t record_burst_limit = 1000;
  int64_t record_window_length = 15;  // minutes
  int64_t byte_burst_limit = -1;
  int64_t byte_window_length = 20;  // minutes
  RateLimitStrategy rate_limit_strategy = RateLimitStrategy::kSpool;

  // How records wait.
  int64_t record_expiry = 1200;   // minutes
  int64_t spool_max_size = 5120;  // KiB
  SpoolFullPolicy spool_full_policy = SpoolFullPolicy::kDropNew;
  int64_t spool_process_time = 900;  // seconds
  SpoolSync spool_sync = SpoolSync::kBatch;
  bool daemon_recycling_enabled = true;
  int64_t journal_max_records = 1000;
  int64_t retention_max_records = 100;

  // Who consents, and to what name.
  ConsentMode consent = ConsentMode::kOptOut;
  std::string classification_domain = "org.clearlinux";

  // What is said of crashes, and who else gets them.
  std::string crash_report_paths;
  CrashForward crash_forward = CrashForward::kAuto;

  // Where everything lies.
  std::string socket_path = "/run/telem-0";
  std::string control_path = "/run/telemetry/control";
  std::string spool_dir = "/var/spool/telemetry";
  std::string config_dir = "/etc/telemetrics";
  std::string state_dir = "/var/lib/telemetry";
  std::string log_dir = "/var/log/telemetry";
  std::string cache_dir = "/var/cache/telemetry";
};

inline constexpr const char* kAdminConfigFile = "/etc/telemetrics/telemetrics.conf";
inline constexpr const char* kDefaultConfigFile =
    "/usr/share/defaults/telemetrics/telemetrics.conf";

// One key as it is in force, for `telemctl config`.
struct SettingInForce {
  std::string key;
  std::string value;   // as it would stand in the file
  std::string source;  // "FILE:LINE" or "default"
};

struct LoadedSettings {
  Settings settings;
  std::vector<std::string> files;        // that were read, in order
  std::vector<SettingInForce> in_force;  // every key, in the order of the documentation
  std::vector<std::string> warnings;     // "FILE:LINE: …": unknown keys, numbers that were clamped
  std::vector<std::string> errors;       // "FILE:LINE: KEY: …": these keys kept their former value
};

// Reads `file`, or where it is empty the administrator's file, or the packaged default, or nothing;
// then telemetrics.conf.d/*.conf beside it in name order. Returns what could be read even when
// there are errors: programs that must be strict look at `errors`, the library in somebody else's
// process does not. Fails only when a file that was named or found cannot be read at all.
Result<LoadedSettings> LoadSettings(const std::string& file);

// As LoadSettings, and fails with all of `errors` (one a line) when there is one.
Result<LoadedSettings> LoadSettingsStrictly(const std::string& file);

}  // namespace telem
