#include "probes/common/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace telem {
namespace {

// The kernel takes what is not permitted out of the ambient ones, too (capabilities(7)).
Status DropCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> held{};
  if (::syscall(SYS_capget, &header, held.data()) != 0) {
    return SystemError("cannot find out which capabilities there are", errno);
  }
  // Whoever has none may be where even giving up is not allowed.
  bool has_one = false;
  for (const auto& part : held) has_one = has_one || (part.permitted | part.inheritable) != 0;
  if (!has_one) return {};
  held = {};
  if (::syscall(SYS_capset, &header, held.data()) != 0) {
    return SystemError("cannot give up capabilities", errno);
  }
  return {};
}

}  // namespace

Status GiveUpPrivileges(const char* also_in) {
  if (::geteuid() == 0) {
    const passwd* user = ::getpwnam("telemetry");
    if (user == nullptr) return {};
    const uid_t uid = user->pw_uid;
    const gid_t gid = user->pw_gid;
    std::vector<gid_t> groups = {gid};
    const group* other = also_in != nullptr ? ::getgrnam(also_in) : nullptr;
    if (other != nullptr) groups.push_back(other->gr_gid);
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0) {
      return SystemError("cannot become the user telemetry", errno);
    }
  }
  return DropCapabilities();
}

}  // namespace telem
