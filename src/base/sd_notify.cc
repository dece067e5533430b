#include "base/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/text.h"

namespace telem {
namespace {

// systemd reads at once. When it does not, it has troubles of its own, and nobody waits for it.
constexpr timeval kSendTime{.tv_sec = 0, .tv_usec = 250'000};

}  // namespace

std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value != nullptr ? value : "";
  ::unsetenv(name);
  return taken;
}

SdNotify SdNotify::FromEnvironment() {
  SdNotify notify;
  std::string address = TakeVariable("NOTIFY_SOCKET");
  const std::string usec = TakeVariable("WATCHDOG_USEC");
  const std::string pid = TakeVariable("WATCHDOG_PID");
  if (address.size() < 2 || address.size() >= sizeof sockaddr_un::sun_path) return notify;
  if (address.front() == '@') {
    address.front() = '\0';
  } else if (address.front() != '/') {
    return notify;
  }
  notify.socket_.Reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!notify.socket_.valid()) return notify;
  ::setsockopt(notify.socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTime, sizeof kSendTime);
  notify.address_ = std::move(address);

  // sd_watchdog_enabled(3): for all processes of the service, or for the one that is named.
  const auto interval = ParseUnsigned(usec);
  const bool is_ours = pid.empty() || ParseUnsigned(pid) == static_cast<uint64_t>(::getpid());
  if (interval && *interval > 0 && *interval < INT64_MAX && is_ours) {
    notify.watchdog_interval_ = std::chrono::microseconds(static_cast<int64_t>(*interval / 2));
  }
  return notify;
}

void SdNotify::Reloading(MonotonicTime now) {
  std::string lines = "RELOADING=1\nMONOTONIC_USEC=";
  AppendSigned(lines,
               std::chrono::floor<std::chrono::microseconds>(now.time_since_epoch()).count());
  Send(lines);
}

void SdNotify::SetStatus(std::string_view sentence) {
  std::string line = "STATUS=";
  // A line end would begin another assignment.
  AppendMasked(line, sentence);
  Send(line);
}

void SdNotify::Send(std::string_view lines) {
  if (!IsAsked()) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  const size_t size = offsetof(sockaddr_un, sun_path) + address_.size();
  // Not heard is not heard: the service goes on.
  (void)::sendto(socket_.get(), lines.data(), lines.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&to), static_cast<socklen_t>(size));
}

}  // namespace telem
