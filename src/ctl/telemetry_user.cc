#include "ctl/telemetry_user.h"

#include <pwd.h>

#include <array>

namespace telem {

std::optional<TelemetryUser> FindTelemetryUser() {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r("telemetry", &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return std::nullopt;
  return TelemetryUser{.uid = found->pw_uid, .gid = found->pw_gid};
}

}  // namespace telem
