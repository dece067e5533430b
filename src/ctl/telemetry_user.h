// The user `telemetry`, as whom telemd and the probes work.
#pragma once

#include <sys/types.h>

#include <optional>

namespace telem {

struct TelemetryUser {
  uid_t uid = 0;
  gid_t gid = 0;
};

// Nothing where this machine has none.
std::optional<TelemetryUser> FindTelemetryUser();

}  // namespace telem
