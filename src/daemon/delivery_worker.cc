#include "daemon/delivery_worker.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "ipc/unix_socket.h"

namespace telem {

DeliveryWorker::DeliveryWorker(EventLoop& loop, Way way, Owner owner)
    : loop_(loop), way_(std::move(way)), owner_(std::move(owner)) {}

DeliveryWorker::~DeliveryWorker() { Kill(); }

Status DeliveryWorker::Start(const DeliverySettings& settings) {
  Kill();  // one that has hung up may still be ending
  auto near = Connect();
  if (!near) {
    const ErrorCode code = near.error().code;
    // A socket that nobody listens on is left over.
    const bool is_nobody_there = code == ErrorCode::kNotFound || code == ErrorCode::kUnavailable;
    if (!is_nobody_there) return WithContext("reach telem-deliver", std::move(near.error()));
    near = Spawn();
    if (!near) return std::unexpected(std::move(near.error()));
  }
  if (const Status watched = loop_.Watch(near->get(), EPOLLIN, this); !watched) {
    near->Reset();
    Kill();
    return watched;
  }
  socket_ = std::move(*near);
  unsent_ = EncodeDeliverySettings(settings);
  return {};
}

Result<UniqueFd> DeliveryWorker::Connect() const {
  TELEM_TRY(UniqueFd near, ConnectWithoutWaiting(way_.socket));
  // Records are for nobody who happened to bind a socket first.
  TELEM_TRY(const Peer listener, PeerOf(near.get()));
  if (listener.uid != 0 && listener.uid != ::geteuid()) {
    std::string what = "'" + way_.socket + "': user ";
    AppendUnsigned(what, listener.uid);
    return Fail(ErrorCode::kDenied, what + " listens there, who is no service manager");
  }
  return near;
}

Result<UniqueFd> DeliveryWorker::Spawn() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return SystemError("start telem-deliver", errno);
  }
  UniqueFd near(fds[0]);
  const UniqueFd far(fds[1]);
  if (::fcntl(near.get(), F_SETFL, O_NONBLOCK) != 0) {
    return SystemError("start telem-deliver", errno);
  }

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, far.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, far.get(), STDOUT_FILENO);
  // Before the exec, not by it: this process goes on a moment before the exec closes anything, and
  // a connection that the child still held would stay in epoll when it is closed here.
  ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  ::posix_spawnattr_init(&attributes);
  // The daemon blocks and ignores signals; its child starts like any other program.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char name[] = "telem-deliver";
  char* const arguments[] = {name, nullptr};
  const int err =
      ::posix_spawn(&pid_, way_.program.c_str(), &files, &attributes, arguments, environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (err != 0) {
    pid_ = 0;
    return SystemError("start '" + way_.program + "'", err);
  }
  return near;
}

void DeliveryWorker::HandOver(const RecordId& id, std::string_view headers,
                              std::string_view payload) {
  const auto head = EncodeDeliveryHead(id, headers.size(), payload.size());
  unsent_.append(head.data(), head.size());
  unsent_ += headers;
  unsent_ += payload;
  ++not_flushed_;
}

void DeliveryWorker::Flush() {
  not_flushed_ = 0;
  if (unsent_.empty() || !socket_.valid()) return;
  const ssize_t n = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
  // An end is told by the next event.
  if (n < 0 && errno != EAGAIN) return;
  if (n > 0) unsent_.erase(0, static_cast<size_t>(n));
  if (unsent_.empty() && unsent_.capacity() > kMaxUnsent) unsent_.shrink_to_fit();
  const bool is_full = !unsent_.empty();
  if (is_full == is_waiting_for_room_) return;
  const uint32_t events = is_full ? static_cast<uint32_t>(EPOLLIN) | EPOLLOUT : EPOLLIN;
  if (loop_.Rewatch(socket_.get(), events, this)) is_waiting_for_room_ = is_full;
}

void DeliveryWorker::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0) Flush();
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) ReadVerdicts();
}

void DeliveryWorker::ReadVerdicts() {
  assert(socket_.valid());
  char bytes[4096];
  const ssize_t n = ::recv(socket_.get(), bytes, sizeof bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    Disconnect();
    return owner_.on_gone();
  }
  verdicts_.append(bytes, static_cast<size_t>(n));
  std::string_view rest = verdicts_;
  while (rest.contains('\n')) {
    // A line that is no verdict changes nothing: its record gets one by the time limit.
    if (const auto verdict = ParseVerdict(TakeUntil(rest, '\n'))) owner_.on_verdict(*verdict);
    if (!socket_.valid()) return;
  }
  if (rest.size() > kMaxVerdictLine) rest = {};
  verdicts_.erase(0, verdicts_.size() - rest.size());
}

void DeliveryWorker::Disconnect() {
  if (socket_.valid()) loop_.Forget(socket_.get(), this);
  socket_.Reset();
  std::string().swap(unsent_);
  not_flushed_ = 0;
  verdicts_.clear();
  is_waiting_for_room_ = false;
}

void DeliveryWorker::Kill() {
  Disconnect();
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void DeliveryWorker::Reap() {
  if (pid_ != 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = 0;
}

}  // namespace telem
