#include "ctl/system_units.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>

#include "base/files.h"
#include "base/text.h"
#include "config/crash_source.h"
#include "ctl/child_output.h"
#include "ctl/telemetry_user.h"

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

// Those of a template are many, each with a name of its own.
void AddInstances(std::vector<std::string>& units) {
  for (std::string& unit : units) {
    if (const size_t at = unit.find('@'); at != std::string::npos) unit.insert(at + 1, "*");
  }
}

using Properties = std::map<std::string, std::string, std::less<>>;

// One block of `systemctl show`: a line a property, and an empty one behind the last.
Properties TakeProperties(std::string_view& shown) {
  Properties properties;
  while (!shown.empty()) {
    std::string_view line = TakeUntil(shown, '\n');
    if (line.empty()) break;
    const std::string_view name = TakeUntil(line, '=');
    properties.emplace(name, line);
  }
  return properties;
}

// Whether it is enabled, and should be there as long as nobody stops it.
bool ShouldBeActive(Properties& unit) {
  if (unit["UnitFileState"] != "enabled") return false;
  // It does its work and is gone.
  if (unit["Type"] == "oneshot" && unit["RemainAfterExit"] == "no") return false;
  // A socket, path or timer starts it when there is something to do.
  if (!unit["TriggeredBy"].empty()) return false;
  // It was to start, and its conditions said no: in a container for instance.
  return unit["ConditionTimestampMonotonic"] == "0" || unit["ConditionResult"] == "yes";
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
  // Only that user and those folders that are ours. A boot makes them, too, but may be yet to come.
  const std::string user = OwnFolder() + "/../lib/sysusers.d/telemetrics.conf";
  if (!FindTelemetryUser() && ::access(user.c_str(), F_OK) == 0) {
    TELEM_CHECK(OutputOf({"systemd-sysusers", user}, kMaxOutput));
  }
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
  AddInstances(units);
  // In one go: systemd starts nothing through a socket or path that is about to stop.
  return Act("stop", units);
}

Result<UnitTroubles> FindUnitTroubles() {
  std::vector<std::string> units = Split(TELEM_UNITS);
  units.emplace_back("telem-collector.service");
  AddInstances(units);
  std::vector<std::string> arguments = {
      "show",
      "--property=Id,ActiveState,SubState,UnitFileState,Type,RemainAfterExit,TriggeredBy,"
      "ConditionResult,ConditionTimestampMonotonic",
      "--"};
  arguments.insert(arguments.end(), units.begin(), units.end());
  TELEM_TRY(const std::string shown, Systemctl(std::move(arguments)));
  UnitTroubles troubles;
  std::string_view rest = shown;
  while (!rest.empty()) {
    Properties unit = TakeProperties(rest);
    const std::string& state = unit["ActiveState"];
    if (state == "failed") {
      troubles.failed.push_back(unit["Id"]);
    } else if (unit["SubState"].starts_with("auto-restart") || unit["SubState"] == "stop-post") {
      troubles.restarting.push_back(unit["Id"]);
    } else if (state == "inactive" && ShouldBeActive(unit)) {
      troubles.inactive.push_back(unit["Id"]);
    }
  }
  return troubles;
}

std::string EnvironmentOfUnit(const std::string& unit) {
  const auto shown = Systemctl({"show", "--property=Environment,EnvironmentFiles", "--", unit});
  std::string_view rest = shown ? std::string_view(*shown) : "";
  std::string environment;
  while (!rest.empty()) {
    std::string_view line = TakeUntil(rest, '\n');
    const std::string_view property = TakeUntil(line, '=');
    if (property == "Environment") {
      while (!line.empty()) environment += std::string(TakeUntil(line, ' ')) + "\n";
    } else if (property == "EnvironmentFiles") {
      // "/etc/example (ignore_errors=yes)"
      const auto text = ReadFile(std::string(TakeUntil(line, ' ')), kMaxOutput);
      if (text) environment += *text + "\n";
    }
  }
  return environment;
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
