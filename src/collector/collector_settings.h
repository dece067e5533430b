// The settings of telem-collector: its configuration file, in the syntax of telemetrics.conf.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace telem {

struct CollectorSettings {
  std::string listen = "127.0.0.1:8080";
  std::string store = "sqlite:/var/lib/telemetry-collector/records.db";
  std::vector<std::string> tids = {"6907c830-eed9-4ce9-81ae-76daf8d88f0f"};
  uint64_t max_payload = 512;  // KiB
};

inline constexpr const char* kCollectorConfigFile = "/etc/telemetrics/collector.conf";

// Read where no file is named; may be missing then.
Result<CollectorSettings> LoadCollectorSettings(const std::string& file);

// Reads the text of `file`. kInvalid with all mistakes, one a line: "FILE:LINE: KEY: what is
// allowed".
Result<CollectorSettings> ParseCollectorSettings(std::string_view text, const std::string& file);

// What may stand behind `store`: sqlite: and an absolute path.
bool IsStore(std::string_view value);
inline constexpr std::string_view kSqlitePrefix = "sqlite:";

}  // namespace telem
