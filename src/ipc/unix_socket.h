// Stream sockets in the file system: listening, connecting, and who is at the other end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

// Binds and listens, non-blocking. A socket file left over at `path` is replaced; kBusy when
// somebody listens on it.
Result<UniqueFd> ListenAt(const std::string& path, mode_t mode);

// Connects, blocking; sends and receives on the result wait for at most `timeout` each.
Result<UniqueFd> ConnectTo(const std::string& path, std::chrono::milliseconds timeout);

// Connects, non-blocking. kNotFound where there is no socket, kUnavailable where nobody listens on
// it, kBusy where more connections wait than its backlog takes.
Result<UniqueFd> ConnectWithoutWaiting(const std::string& path);

struct Peer {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  pid_t pid = 0;
};

// SO_PEERCRED: who connected, or who listened when we connected, as the kernel saw it.
Result<Peer> PeerOf(int fd);

// Whether the peer's process has `group` among its groups (SO_PEERGROUPS).
bool PeerHasGroup(int fd, gid_t group);

}  // namespace telem
