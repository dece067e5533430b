#include "config/crash_source.h"

namespace telem {

bool IsSystemdCoredump(std::string_view pattern) {
  return pattern.starts_with('|') && pattern.contains("systemd-coredump");
}

bool IsSystemdCoredumpWanted(const Settings& settings, std::string_view pattern) {
  switch (settings.crash_forward) {
    case CrashForward::kAuto:
      return IsSystemdCoredump(pattern);
    case CrashForward::kSystemdCoredump:
      return true;
    case CrashForward::kOff:
    case CrashForward::kFile:
      break;
  }
  return false;
}

}  // namespace telem
