// Shares: what one uid may have of what all share, so that one user cannot silence the machine.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace telem {

// Root, and the user that telemd runs as: `telemetry`, whose programs report what the machine did.
inline bool IsPrivileged(uid_t uid) {
  static const uid_t own = ::geteuid();  // asked once: it is a system call
  return uid == 0 || uid == own;
}

// At most half of a limit for anybody else, but of a limit of one all; -1 is no limit.
constexpr int64_t ShareOf(int64_t limit) {
  return limit < 0 ? -1 : std::max(limit / 2, std::min<int64_t>(limit, 1));
}

}  // namespace telem
