// Where crashes are told from: crashprobe-setup has the kernel call us, crashprobe-watch reads what
// systemd-coredump writes down. crash_forward decides between the two.
#pragma once

#include <string_view>

#include "config/settings.h"

namespace telem {

inline constexpr const char* kCorePatternFile = "/proc/sys/kernel/core_pattern";

// Whether the kernel calls systemd-coredump where kernel.core_pattern is `pattern`.
bool IsSystemdCoredump(std::string_view pattern);

// Whether systemd-coredump is to have the crashes, where that is `pattern` before we change it.
bool IsSystemdCoredumpWanted(const Settings& settings, std::string_view pattern);

}  // namespace telem
