#include "daemon/user.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>

namespace telem {
namespace {

constexpr char kName[] = "telemetry";

// The bounding set first: dropping from it needs a capability. Root of a container may not have
// that, and loses nothing by it: without new privileges no exec gains any.
void DropBoundingSet() {
  // A kernel has no more than 64.
  for (unsigned long capability = 0; capability < 64; ++capability) {
    (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
}

// Leaving uid 0 empties the other sets (capabilities(7)), but not the inheritable one.
Status EmptyCapabilitySets() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return SystemError("drop capabilities", errno);
  return {};
}

}  // namespace

Result<std::optional<User>> FindUserToBecome() {
  if (::geteuid() != 0) return std::nullopt;
  // A user of the system stands in this file; asking the name service instead would leave its
  // modules in memory for good, a quarter of all that telemd has at rest.
  const std::unique_ptr<FILE, int (*)(FILE*)> users(::fopen("/etc/passwd", "re"), ::fclose);
  if (users == nullptr) {
    if (errno == ENOENT) return std::nullopt;
    return SystemError("look for user telemetry in '/etc/passwd'", errno);
  }
  while (true) {
    errno = 0;
    const passwd* const entry = ::fgetpwent(users.get());
    if (entry == nullptr && (errno == 0 || errno == ENOENT)) return std::nullopt;
    if (entry == nullptr) return SystemError("look for user telemetry in '/etc/passwd'", errno);
    if (entry->pw_name == std::string_view(kName)) {
      return User{.name = kName, .uid = entry->pw_uid, .gid = entry->pw_gid};
    }
  }
}

Status Become(const User& user) {
  DropBoundingSet();
  if (::initgroups(user.name, user.gid) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0) {
    return SystemError(std::string("become user ") + user.name, errno);
  }
  TELEM_CHECK(EmptyCapabilitySets());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return SystemError("no new rights", errno);
  return {};
}

}  // namespace telem
