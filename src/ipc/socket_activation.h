// Sockets that a service manager has opened before it started this process: the protocol of
// sd_listen_fds(3), without systemd's library.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

struct PassedSocket {
  UniqueFd fd;       // listening, non-blocking, closed at exec
  std::string name;  // FileDescriptorName= of its unit, empty where there is none
  std::string path;  // what it is bound to: a path, or `@` and an abstract name
};

// The sockets that were passed to this process, none where that is so. Takes LISTEN_PID, LISTEN_FDS
// and LISTEN_FDNAMES out of the environment, so that no child takes them for its own. Once, and
// before there are threads. kInvalid when a descriptor is no listening stream socket of AF_UNIX.
Result<std::vector<PassedSocket>> TakePassedSockets();

}  // namespace telem
