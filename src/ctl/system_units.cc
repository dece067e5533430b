#include "ctl/system_units.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "base/files.h"
#include "base/text.h"
#include "config/crash_source.h"
#include "ctl/child_output.h"

namespace telem {
namespace {

constexpr size_t kMaxOutput = size_t{64} * 1024;

constexpr const char* kSystemctl = "systemctl";

Result<std::string> Systemctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kSystemctl);
  return OutputOf(arguments, kMaxOutput);
}

// Names with colons between them, as CMake gives them (packaging/systemd/units.cmake).
std::vector<std::string> Split(std::string_view names) {
  std::vector<std::string> list;
  while (!names.empty()) list.emplace_back(TakeUntil(names, ':'));
  return list;
}

// Those that systemd has and may start.
Result<std::vector<std::string>> Usable(const std::vector<std::string>& units) {
  std::vector<std::string> arguments = {"list-unit-files", "--no-legend", "--no-pager", "--"};
  arguments.insert(arguments.end(), units.begin(), units.end());
  // It fails where there is none of them.
  const auto listed = Systemctl(std::move(arguments));
  std::vector<std::string> usable;
  std::string_view rest = listed ? *listed : std::string_view();
  while (!rest.empty()) {
    std::string_view line = TakeUntil(rest, '\n');
    const std::string_view name = TakeUntil(line, ' ');
    if (!Trim(line).starts_with("masked")) usable.emplace_back(name);
  }
  if (usable.empty()) return Fail(ErrorCode::kNotFound, "there are no units of telemetrics");
  return usable;
}

Status Act(const char* verb, const std::vector<std::string>& units) {
  std::vector<std::string> arguments = {verb, "--"};
  arguments.insert(arguments.end(), units.begin(), units.end());
  TELEM_CHECK(Systemctl(std::move(arguments)));
  return {};
}

}  // namespace

bool HasSystemd() { return ::access("/run/systemd/system", F_OK) == 0; }

Status StartUnits(const Settings& settings) {
  // Only those folders that are ours.
  TELEM_CHECK(OutputOf({"systemd-tmpfiles", "--create", "telemetrics.conf"}, kMaxOutput));
  // `consent` in the configuration may be another one than at boot (telemetrics-generator).
  TELEM_CHECK(Systemctl({"daemon-reload"}));
  std::vector<std::string> wanted = Split(TELEM_STARTED_UNITS);
  // Where it cannot be read, crashprobe-setup is the one to tell why.
  const auto pattern = ReadFile(kCorePatternFile, kMaxOutput);
  if (IsSystemdCoredumpWanted(settings, pattern ? *pattern : "")) {
    std::replace(wanted.begin(), wanted.end(), std::string(kCrashSetupUnit),
                 std::string(kCrashWatchUnit));
  }
  TELEM_TRY(const auto units, Usable(wanted));
  return Act("start", units);
}

Status StopUnits() {
  std::vector<std::string> units = Split(TELEM_UNITS);
  TELEM_TRY(units, Usable(units));
  // Those of a template are many, each with a name of its own.
  for (std::string& unit : units) {
    if (const size_t at = unit.find('@'); at != std::string::npos) unit.insert(at + 1, "*");
  }
  // In one go: systemd starts nothing through a socket or path that is about to stop.
  return Act("stop", units);
}

bool IsActive(const std::string& unit) { return StateOfUnit(unit) == "active"; }

bool IsEnabled(const std::string& unit) {
  return OutputOf({"/bin/sh", "-c", "systemctl is-enabled --quiet -- \"$0\" 2>/dev/null", unit},
                  kMaxOutput)
      .has_value();
}

std::string StateOfUnit(const std::string& unit) {
  // Its exit code tells the same as the word.
  const auto state =
      OutputOf({"/bin/sh", "-c", "systemctl is-active -- \"$0\"; :", unit}, kMaxOutput);
  return state ? std::string(Trim(*state)) : "unknown";
}

}  // namespace telem
