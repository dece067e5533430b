// `telemctl status`: asks the running telemd, through its control socket.
#pragma once

#include "config/settings.h"

namespace telem {

struct StatusOptions {
  bool json = false;
};

// Prints to stdout, complains on stderr, returns the exit code.
int RunStatus(const StatusOptions& options, const Settings& settings);

}  // namespace telem
