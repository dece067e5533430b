// Our units, as systemd has them: the one place that talks to it, by systemctl.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace telem {

// Which of the two reports crashes, see config/crash_source.h. Never both.
inline constexpr const char* kCrashSetupUnit = "crashprobe-setup.service";
inline constexpr const char* kCrashWatchUnit = "crashprobe-watch.service";

// Whether this machine was booted with systemd (sd_booted(3)).
bool HasSystemd();

// What systemctl does with units of ours. Those that are not installed, or masked, are left out.
// kUnavailable when systemctl fails; it has said why on stderr.
//
// Starts what stays: sockets, path, timers, and probes that watch; of the two that report crashes
// the one that `settings` ask for. The user and the folders are made and conditions are read from
// the configuration before.
Status StartUnits(const Settings& settings);
// Stops everything, and what was started by it.
Status StopUnits();

// active, inactive, failed, ... of one unit, as `systemctl is-active` prints it.
std::string StateOfUnit(const std::string& unit);
bool IsActive(const std::string& unit);

// What systemd tells of units of ours that do not what they should.
struct UnitTroubles {
  std::vector<std::string> failed;
  // End in failure again and again, and never stay failed. telemd.service is busy in between, so
  // that systemd gives up nothing.
  std::vector<std::string> restarting;
  // Enabled, of those that stay or wait for something, and not active. No condition keeps them from
  // it.
  std::vector<std::string> inactive;
};
Result<UnitTroubles> FindUnitTroubles();

// The environment that systemd gives the service `unit`: NAME=VALUE, one a line.
std::string EnvironmentOfUnit(const std::string& unit);

// Whether it is to be started by itself, at boot for instance.
bool IsEnabled(const std::string& unit);

}  // namespace telem
