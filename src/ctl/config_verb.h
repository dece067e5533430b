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

// Both print to stdout, put mistakes and warnings on stderr, and return the exit code: 1 when there
// is a mistake that would keep telemd from starting.
int RunConfig(const ConfigOptions& options, const std::string& config_file);

}  // namespace telem
