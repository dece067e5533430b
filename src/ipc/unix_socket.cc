#include "ipc/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace telem {
namespace {

// Debian 12's libc knows it, older ones may not (Linux 4.13, asm-generic/socket.h).
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return SystemError("'" + path + "'", ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> NewSocket(int flags) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd.valid()) return SystemError("socket", errno);
  return fd;
}

}  // namespace

Result<UniqueFd> ListenAt(const std::string& path, mode_t mode) {
  TELEM_TRY(const sockaddr_un address, AddressOf(path));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  struct stat st;
  if (::lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) {
    TELEM_TRY(const UniqueFd probe, NewSocket(SOCK_NONBLOCK));
    // A full backlog (EAGAIN) also means that somebody listens.
    if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
      return Fail(ErrorCode::kBusy, "'" + path + "': somebody listens there already");
    }
    if (errno == ECONNREFUSED) ::unlink(path.c_str());
  }
  TELEM_TRY(UniqueFd fd, NewSocket(SOCK_NONBLOCK));
  if (::bind(fd.get(), generic, sizeof address) != 0) {
    return SystemError("bind '" + path + "'", errno);
  }
  // By chmod, not by umask: the umask is the whole process's. Nobody is accepted before listen().
  // Not through a link: whoever owns the folder may have put one there while root binds.
  if (::fchmodat(AT_FDCWD, path.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0) {
    return SystemError("set rights of '" + path + "'", errno);
  }
  if (::listen(fd.get(), SOMAXCONN) != 0) return SystemError("listen at '" + path + "'", errno);
  return fd;
}

Result<UniqueFd> ConnectTo(const std::string& path, std::chrono::milliseconds timeout) {
  TELEM_TRY(const sockaddr_un address, AddressOf(path));
  TELEM_TRY(UniqueFd fd, NewSocket(0));
  const timeval wait{.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return SystemError("connect to '" + path + "'", errno == EAGAIN ? ETIMEDOUT : errno);
  }
  return fd;
}

Result<UniqueFd> ConnectWithoutWaiting(const std::string& path) {
  TELEM_TRY(const sockaddr_un address, AddressOf(path));
  TELEM_TRY(UniqueFd fd, NewSocket(SOCK_NONBLOCK));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return SystemError("connect to '" + path + "'", errno);
  }
  return fd;
}

Result<Peer> PeerOf(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return SystemError("peer credentials", errno);
  }
  return Peer{credentials.uid, credentials.gid, credentials.pid};
}

bool PeerHasGroup(int fd, gid_t group) {
  std::vector<gid_t> groups(64);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
    if (errno != ERANGE) return false;
    groups.resize(size / sizeof(gid_t));
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  }
  groups.resize(size / sizeof(gid_t));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace telem
