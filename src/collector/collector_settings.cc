#include "collector/collector_settings.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "collector/http/listen_socket.h"
#include "config/config_file.h"

namespace telem {
namespace {

// KiB. Six times as much, which is a payload of control characters in JSON, must fit the memory
// for answers (HttpLimits): what is stored can be shown.
constexpr uint64_t kMaxPayloadSetting = 1024;
constexpr size_t kMaxTid = 128;

std::optional<std::vector<std::string>> ParseTids(std::string_view value) {
  std::vector<std::string> tids;
  while (!value.empty()) {
    const std::string_view tid = Trim(TakeUntil(value, ','));
    if (tid.empty() || tid.size() > kMaxTid || !IsPrintableAscii(tid) || tid.contains(' ')) {
      return std::nullopt;
    }
    tids.emplace_back(tid);
  }
  if (tids.empty()) return std::nullopt;
  return tids;
}

// Applies one line; what is allowed instead, where the value is not.
std::string Apply(const ConfigLine& line, CollectorSettings& settings) {
  if (line.key == "listen") {
    if (!IsListenAddress(line.value)) return "not ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080";
    settings.listen = line.value;
  } else if (line.key == "store") {
    if (!IsStore(line.value)) return "not sqlite: and an absolute path";
    settings.store = line.value;
  } else if (line.key == "tid") {
    auto tids = ParseTids(line.value);
    if (!tids) return "not a list of telemetry ids with commas between";
    settings.tids = *std::move(tids);
  } else if (line.key == "max_payload") {
    const auto number = ParseUnsigned(line.value);
    if (!number || *number < 1 || *number > kMaxPayloadSetting) {
      return "not a number of KiB from 1 to 1024";
    }
    settings.max_payload = *number;
  } else {
    return "unknown key; there are listen, store, tid and max_payload";
  }
  return "";
}

}  // namespace

bool IsStore(std::string_view value) {
  return value.starts_with(kSqlitePrefix) && value.substr(kSqlitePrefix.size()).starts_with('/');
}

Result<CollectorSettings> ParseCollectorSettings(std::string_view text, const std::string& file) {
  CollectorSettings settings;
  std::vector<ConfigMistake> mistakes;
  ConfigText config = ParseConfigText(text);
  mistakes = std::move(config.mistakes);
  for (const ConfigLine& line : config.lines) {
    const std::string wrong = Apply(line, settings);
    if (wrong.empty()) continue;
    const std::string value = "'" + PrintableAscii(line.value, 80) + "' is ";
    const bool is_unknown = wrong.starts_with("unknown");
    mistakes.push_back(
        {line.line, PrintableAscii(line.key, 40) + ": " + (is_unknown ? "" : value) + wrong});
  }
  if (mistakes.empty()) return settings;
  std::ranges::sort(mistakes, {}, &ConfigMistake::line);
  std::string all;
  for (const ConfigMistake& mistake : mistakes) {
    if (!all.empty()) all += '\n';
    all += file + ":";
    AppendSigned(all, mistake.line);
    all += ": " + mistake.what;
  }
  return Fail(ErrorCode::kInvalid, std::move(all));
}

Result<CollectorSettings> LoadCollectorSettings(const std::string& file) {
  if (file.empty() && ::access(kCollectorConfigFile, F_OK) != 0) return CollectorSettings();
  const std::string path = file.empty() ? kCollectorConfigFile : file;
  TELEM_TRY(const std::string text, ReadFile(path, kMaxConfigFile));
  return ParseCollectorSettings(text, path);
}

}  // namespace telem
