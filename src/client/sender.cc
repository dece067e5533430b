#include "client/sender.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/unique_fd.h"
#include "record/frame_codec.h"

namespace telem {
namespace {

using std::chrono::steady_clock;

// A point in time, so that waits in a row share one limit.
class Deadline {
 public:
  explicit Deadline(std::chrono::milliseconds from_now) : end_(steady_clock::now() + from_now) {}

  std::chrono::microseconds Left() const {
    const auto left =
        std::chrono::duration_cast<std::chrono::microseconds>(end_ - steady_clock::now());
    return std::max(left, std::chrono::microseconds(0));
  }

 private:
  steady_clock::time_point end_;
};

// Where several threads send at once the daemon is busy, and what holds them all up is its waking
// each of them. For so long they stay awake; a thread that is alone leaves its processor to the
// others.
constexpr std::chrono::microseconds kAwake{50};

std::unexpected<Error> TimedOut() { return SystemError("wait for the daemon", ETIMEDOUT); }

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return SystemError("connect", ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status SetNonBlocking(int fd, bool on) {
  if (::fcntl(fd, F_SETFL, on ? O_RDWR | O_NONBLOCK : O_RDWR) != 0) {
    return SystemError("socket", errno);
  }
  return {};
}

// A full backlog is the only thing that connect() to a Unix socket waits for, and poll() cannot
// wait for it in its place.
Status WaitForBacklog(int fd, const sockaddr_un& address, const Deadline& deadline) {
  TELEM_CHECK(SetNonBlocking(fd, false));
  while (true) {
    const auto left = deadline.Left();
    // A limit of zero would mean none.
    if (left.count() == 0) return TimedOut();
    const timeval limit{.tv_sec = left.count() / 1'000'000, .tv_usec = left.count() % 1'000'000};
    if (::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
      return SystemError("socket", errno);
    }
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
    if (errno == EAGAIN) return TimedOut();
    if (errno != EINTR) return SystemError("connect", errno);
  }
  return SetNonBlocking(fd, true);
}

Result<UniqueFd> Connect(const std::string& path, const Deadline& deadline) {
  TELEM_TRY(const sockaddr_un address, AddressOf(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return SystemError("socket", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EAGAIN) return SystemError("connect", errno);
    TELEM_CHECK(WaitForBacklog(fd.get(), address, deadline));
  }
  return fd;
}

// What of `events` has come.
Result<short> WaitFor(int fd, short events, const Deadline& deadline) {
  while (true) {
    // Rounded down: a limit is never passed, and the last part of a millisecond not waited for.
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline.Left());
    if (left.count() == 0) return TimedOut();
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    const int n = ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (n > 0) return waiting.revents;
    if (n < 0 && errno != EINTR) return SystemError("poll", errno);
  }
}

// Writes until everything is written or the daemon has had enough: then its answer, if there is
// one, tells why.
Status Write(int fd, std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return {};
    } else if (errno == EAGAIN) {
      TELEM_TRY(const short events, WaitFor(fd, POLLIN | POLLOUT, deadline));
      if ((events & POLLIN) != 0) return {};
    } else if (errno != EINTR) {
      return SystemError("send", errno);
    }
  }
  return {};
}

// How many threads of this process wait for an answer. A process that was forked meanwhile counts
// them for good, and stays awake when it need not.
class Waiting {
 public:
  Waiting() : others_(count_.fetch_add(1, std::memory_order_relaxed)) {}
  ~Waiting() { count_.fetch_sub(1, std::memory_order_relaxed); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  bool AmongOthers() const { return others_ > 0; }

 private:
  static std::atomic<int> count_;
  const int others_;
};

std::atomic<int> Waiting::count_;

// The status byte, or nothing where the connection ended in place of it.
Result<std::optional<uint8_t>> ReadStatusByte(int fd, const Deadline& deadline) {
  const Waiting waiting;
  const auto awake_until = steady_clock::now() + (waiting.AmongOthers() ? kAwake : kAwake.zero());
  while (true) {
    if (steady_clock::now() < awake_until) {
      ::sched_yield();
    } else {
      TELEM_CHECK(WaitFor(fd, POLLIN, deadline));
    }
    uint8_t byte;
    const ssize_t n = ::recv(fd, &byte, sizeof byte, 0);
    if (n > 0) return byte;
    if (n == 0 || errno == ECONNRESET) return std::nullopt;
    if (errno != EAGAIN && errno != EINTR) return SystemError("recv", errno);
  }
}

Result<std::optional<uint8_t>> SendOnce(const std::string& path, std::string_view frame,
                                        const Deadline& deadline) {
  TELEM_TRY(const UniqueFd fd, Connect(path, deadline));
  TELEM_CHECK(Write(fd.get(), frame, deadline));
  // That this was all: the daemon need not watch for more, and closes with its answer. Where it has
  // hung up, reading tells.
  (void)::shutdown(fd.get(), SHUT_WR);
  return ReadStatusByte(fd.get(), deadline);
}

// The numbers on the wire are the same on every architecture, those of errno are not.
int ErrnoOf(uint8_t status) {
  switch (static_cast<FrameStatus>(status)) {
    case FrameStatus::kTakenOver:
      return 0;
    case FrameStatus::kIoError:
      return EIO;
    case FrameStatus::kTooLarge:
      return E2BIG;
    case FrameStatus::kMalformed:
      return EINVAL;
    case FrameStatus::kSpoolFull:
      return ENOSPC;
    case FrameStatus::kOptedOut:
      return ECONNREFUSED;
    case FrameStatus::kRateLimited:
      return EDQUOT;
  }
  return EIO;
}

}  // namespace

Status SendFrame(const std::string& socket_path, std::string_view frame,
                 std::chrono::milliseconds time_limit) {
  const Deadline deadline(time_limit);
  auto answer = SendOnce(socket_path, frame, deadline);
  if (answer && !*answer) {
    answer = SendOnce(socket_path, frame, deadline);
    // Whatever kept the second attempt from an answer, the first one may have been taken over.
    if (!answer || !*answer) return SystemError("the daemon ended before it answered", EIO);
  }
  if (!answer) return std::unexpected(std::move(answer.error()));
  const int err = ErrnoOf(**answer);
  if (err != 0) return SystemError("the daemon refused the record", err);
  return {};
}

}  // namespace telem
