#include "probes/common/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

namespace telem {

Status BecomeTelemetry() {
  if (::geteuid() != 0) return {};
  const passwd* user = ::getpwnam("telemetry");
  if (user == nullptr) return {};
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  if (::setgroups(1, &gid) != 0 || ::setresgid(gid, gid, gid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    return SystemError("cannot become the user telemetry", errno);
  }
  return {};
}

}  // namespace telem
