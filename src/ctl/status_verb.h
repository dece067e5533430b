// `telemctl status`: asks the running telemd, through its control socket.
#pragma once

#include "config/settings.h"

namespace telem {

struct StatusOptions {
  bool json = false;
};

// Prints to stdout, complains on stderr, returns the exit code: 3 where telemd does not run.
int RunStatus(const StatusOptions& options, const Settings& settings);

}  // namespace telem
