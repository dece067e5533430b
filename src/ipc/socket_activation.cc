#include "ipc/socket_activation.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>

#include "base/sd_notify.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START

std::optional<int> FindOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return std::nullopt;
  return value;
}

Result<std::string> PathOf(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return SystemError("a passed socket", errno);
  }
  const size_t length = std::min<size_t>(size, sizeof address) -
                        std::min<size_t>(size, offsetof(sockaddr_un, sun_path));
  std::string path(address.sun_path, length);
  if (!path.empty() && path.front() == '\0') {
    path.front() = '@';
  } else {
    path.resize(std::min(path.size(), path.find('\0')));
  }
  return path;
}

}  // namespace

Result<std::vector<PassedSocket>> TakePassedSockets() {
  const std::string pid = TakeVariable("LISTEN_PID");
  const std::string count_text = TakeVariable("LISTEN_FDS");
  const std::string names = TakeVariable("LISTEN_FDNAMES");
  std::vector<PassedSocket> sockets;
  if (ParseUnsigned(pid) != static_cast<uint64_t>(::getpid())) return sockets;
  const auto count = ParseUnsigned(count_text);
  if (!count) return Fail(ErrorCode::kInvalid, "LISTEN_FDS is no number");
  std::string_view rest = names;
  for (uint64_t i = 0; i < *count; ++i) {
    const int fd = kFirstFd + static_cast<int>(std::min<uint64_t>(i, INT16_MAX));
    if (FindOption(fd, SO_DOMAIN) != AF_UNIX || FindOption(fd, SO_TYPE) != SOCK_STREAM ||
        FindOption(fd, SO_ACCEPTCONN) != 1) {
      std::string what = "descriptor ";
      AppendSigned(what, fd);
      return Fail(ErrorCode::kInvalid, what + " of LISTEN_FDS is no listening Unix stream socket");
    }
    PassedSocket passed{.fd = UniqueFd(fd), .name = std::string(TakeUntil(rest, ':')), .path = ""};
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return SystemError("a passed socket", errno);
    }
    TELEM_TRY(passed.path, PathOf(fd));
    sockets.push_back(std::move(passed));
  }
  return sockets;
}

}  // namespace telem
