#include "collector/http/listen_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace telem {
namespace {

struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;
};

std::optional<SocketAddress> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = ParseUnsigned(text.substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  SocketAddress address;
  std::memset(&address.v6, 0, sizeof(address.v6));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(static_cast<uint16_t>(*port));
    address.size = sizeof(address.v6);
    if (::inet_pton(AF_INET6, std::string(host).c_str(), &address.v6.sin6_addr) != 1) {
      return std::nullopt;
    }
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(static_cast<uint16_t>(*port));
    address.size = sizeof(address.v4);
    if (::inet_pton(AF_INET, std::string(host).c_str(), &address.v4.sin_addr) != 1) {
      return std::nullopt;
    }
  }
  return address;
}

}  // namespace

bool IsListenAddress(std::string_view address) { return ParseAddress(address).has_value(); }

Result<ListenSocket> Listen(const std::string& text) {
  std::optional<SocketAddress> address = ParseAddress(text);
  if (!address) return Fail(ErrorCode::kInvalid, "'" + text + "' is not ADDRESS:PORT");
  const std::string what = "listen on " + text;
  ListenSocket listening;
  listening.fd.Reset(
      ::socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listening.fd.valid()) return SystemError(what, errno);
  // A restart must not wait for connections of the last run to be forgotten.
  const int yes = 1;
  ::setsockopt(listening.fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(listening.fd.get(), &address->any, address->size) != 0 ||
      ::listen(listening.fd.get(), SOMAXCONN) != 0 ||
      ::getsockname(listening.fd.get(), &address->any, &address->size) != 0) {
    return SystemError(what, errno);
  }
  const in_port_t port =
      address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port;
  listening.url = "http://" + text.substr(0, text.rfind(':') + 1);
  AppendUnsigned(listening.url, ntohs(port));
  listening.url += '/';
  return listening;
}

}  // namespace telem
