// `telemctl config`: the settings in force and where each came from.
#pragma once

#include <optional>
#include <string>

#include "config/settings.h"

namespace telem {

struct ConfigOptions {
  std::optional<std::string> check;  // a file to look over instead
  bool json = false;
};

// Prints to stdout, puts mistakes and warnings on stderr, and returns the exit code: 78 when there
// is a mistake that would keep telemd from starting.
int RunConfig(const ConfigOptions& options, const std::string& config_file);

}  // namespace telem
