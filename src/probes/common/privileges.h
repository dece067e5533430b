// Probes that need root to open their evidence do everything else as telemd's user.
#pragma once

#include "base/result.h"

namespace telem {

// From here on with the rights of the user telemetry, where root started this and there is such a
// user; else nothing changes.
Status BecomeTelemetry();

}  // namespace telem
