// The user that telemd works as when root started it: nothing that it does needs root's rights but
// making the folders and binding the sockets.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/result.h"

namespace telem {

struct User {
  const char* name;
  uid_t uid;
  gid_t gid;
};

// The user `telemetry`, where this process is root and there is one. An error when that cannot be
// found out: then nobody may go on as root.
Result<std::optional<User>> FindUserToBecome();

// From here on this process and its children are that user and his groups, without any capability
// and without a way back. Before there are threads.
Status Become(const User& user);

}  // namespace telem
