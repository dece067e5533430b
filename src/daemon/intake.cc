#include "daemon/intake.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace telem {
namespace {

// How long nobody is accepted where there is no descriptor to be had.
constexpr std::chrono::milliseconds kPause{100};

// Beside so many connections several are accepted a round: the backlog holds thousands that came
// before a newcomer, and a round may be long there. Beside fewer it is one: the next round's
// epoll_wait costs no more than the accept that would find nobody.
constexpr size_t kManyConnections = 64;
constexpr size_t kAcceptedAtOnce = 32;

}  // namespace

struct Intake::Connection final : EventLoop::Handler {
  Connection(Intake& owner, UniqueFd socket, const Peer& sender)
      : intake(owner), fd(std::move(socket)), peer(sender) {}

  void OnEvents(uint32_t events) override { intake.OnConnection(*this, events); }

  Intake& intake;
  UniqueFd fd;
  Peer peer;
  Connections::iterator self;
  bool is_new = false;  // among new_
  bool is_watched = false;
  uint32_t watched_events = 0;
  bool is_closing = false;  // reads no more, and closes when its last status has gone
  size_t held = 0;          // statuses that wait for SendReplies
  std::string unfinished;   // the front of a frame
  std::list<Connection*>::iterator unfinished_at;
  MonotonicTime deadline;
  std::string unsent;  // statuses that the peer's buffer had no room for
};

Intake::Intake(EventLoop& loop, Counters& counters, size_t max_connections, Admit admit)
    : loop_(loop),
      counters_(counters),
      max_connections_(std::min(max_connections, kMaxConnections)),
      admit_(std::move(admit)),
      overdue_(loop, [this] { CloseOverdue(); }),
      resume_(loop, [this] {
        if (!loop_.Rewatch(listener_.get(), EPOLLIN, this)) resume_.SetAfter(kPause);
      }) {}

Intake::~Intake() {
  while (!by_uid_.empty()) Close(by_uid_.begin()->second.front());
  if (listener_.valid()) loop_.Forget(listener_.get(), this);
}

Status Intake::Listen(UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.Watch(listener_.get(), EPOLLIN, this);
}

void Intake::OnEvents(uint32_t /*events*/) {
  const size_t most = connection_count_ < kManyConnections ? 1 : kAcceptedAtOnce;
  for (size_t i = 0; i < most && Accept(); ++i) continue;
}

// Returns whether there may be more.
bool Intake::Accept() {
  if (connection_count_ >= max_connections_) CloseLongestIdle();
  UniqueFd socket(AcceptOne());
  if (!socket.valid() && errno != EAGAIN && errno != ECONNABORTED && connection_count_ > 0) {
    CloseLongestIdle();
    socket.Reset(AcceptOne());
  }
  if (!socket.valid()) {
    if (errno == EAGAIN || errno == ECONNABORTED) return errno != EAGAIN;
    // No descriptor and none to take from anybody: asking on and on would only heat the machine.
    if (loop_.Rewatch(listener_.get(), 0, this)) resume_.SetAfter(kPause);
    return false;
  }
  const auto peer = PeerOf(socket.get());
  if (!peer) return true;
  Connections& connections = by_uid_[peer->uid];
  Connection& connection = connections.emplace_back(*this, std::move(socket), *peer);
  connection.self = std::prev(connections.end());
  ++connection_count_;
  // A probe's frame is mostly there by now. What comes behind it can wait for the answer.
  if (!ReadOnce(connection)) return true;
  if (connection.held == 0) {
    (void)UpdateWatch(connection);
  } else {
    connection.is_new = true;
    new_.push_back(&connection);
  }
  return true;
}

void Intake::EndRound() {
  while (!new_.empty()) {
    Connection& connection = *new_.back();
    new_.pop_back();
    connection.is_new = false;
    // libtelemetry says behind its frame that this was all: then nothing is to be watched for.
    char next;
    if (connection.unfinished.empty() && !connection.is_closing &&
        ::recv(connection.fd.get(), &next, sizeof next, MSG_PEEK) == 0) {
      connection.is_closing = true;
    }
    if (connection.is_closing && connection.held == 0 && connection.unsent.empty()) {
      Close(connection);
    } else {
      (void)UpdateWatch(connection);
    }
  }
}

int Intake::AcceptOne() {
  return ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

void Intake::OnConnection(Connection& connection, uint32_t events) {
  if (connection.is_closing && (events & (EPOLLHUP | EPOLLERR)) != 0) return Close(connection);
  if ((events & EPOLLOUT) != 0) {
    if (!Send(connection, "")) return;
    events &= ~static_cast<uint32_t>(EPOLLOUT);
  }
  if (events != 0) Read(connection);
}

void Intake::Read(Connection& connection) {
  if (ReadOnce(connection)) (void)UpdateWatch(connection);
}

// Returns whether the connection is still there.
bool Intake::ReadOnce(Connection& connection) {
  Connections& connections = by_uid_[connection.peer.uid];
  connections.splice(connections.end(), connections, connection.self);
  const ssize_t n = ::recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    if (!connection.unfinished.empty()) ++counters_.closed_incomplete;
    Close(connection);
    return false;
  }
  if (n >= 0 && !connection.is_closing) {
    Parse(connection, std::string_view(buffer_.data(), static_cast<size_t>(n)), n == 0);
  }
  // A sender that has said all may still wait for its answers.
  if (n == 0) connection.is_closing = true;
  if (connection.is_closing && connection.held == 0 && connection.unsent.empty()) {
    Close(connection);
    return false;
  }
  return true;
}

// Waits for what the connection can do next. Returns whether it is still there.
bool Intake::UpdateWatch(Connection& connection) {
  uint32_t events = EPOLLIN;
  if (!connection.unsent.empty()) {
    // Without room for its answers it gets no more said.
    events = EPOLLOUT;
  } else if (connection.is_closing) {
    events = 0;
  }
  // One that says no more goes with its last answer.
  if (!connection.is_watched && events == 0) return true;
  if (connection.is_watched && connection.watched_events == events) return true;
  const Status watched = connection.is_watched
                             ? loop_.Rewatch(connection.fd.get(), events, &connection)
                             : loop_.Watch(connection.fd.get(), events, &connection);
  if (!watched) {
    Close(connection);
    return false;
  }
  connection.is_watched = true;
  connection.watched_events = events;
  return true;
}

void Intake::Parse(Connection& connection, std::string_view fresh, bool closed) {
  if (!connection.unfinished.empty()) {
    connection.unfinished += fresh;
    unfinished_bytes_ += fresh.size();
    fresh = connection.unfinished;
  }
  std::string_view rest = fresh;
  while (true) {
    const auto frame = TakeFrame(rest, closed);
    if (!frame) {
      const bool is_large = frame.error().code == ErrorCode::kTooLarge;
      if (closed) {
        ++counters_.closed_incomplete;
      } else {
        ++counters_.frames;
        ++(is_large ? counters_.refused_too_large : counters_.refused_malformed);
      }
      return Refuse(connection, is_large ? FrameStatus::kTooLarge : FrameStatus::kMalformed);
    }
    if (!*frame) break;
    ++counters_.frames;
    const FrameStatus status = Take(**frame, connection.peer);
    if (status == FrameStatus::kMalformed) return Refuse(connection, status);
    Hold(connection, status);
  }
  if (rest.empty()) {
    ClearUnfinished(connection);
  } else if (connection.unfinished.empty() || rest.size() != connection.unfinished.size()) {
    SetUnfinished(connection, rest);
  }
  if (unfinished_bytes_ > kMaxUnfinishedBytes) CloseLargestHolder();
}

FrameStatus Intake::Take(const Frame& frame, const Peer& peer) {
  const auto headers = SplitHeaders(frame.headers);
  if (!headers || !CheckHeaders(*headers)) {
    ++counters_.refused_malformed;
    return FrameStatus::kMalformed;
  }
  return admit_({.headers = *headers,
                 .payload = frame.payload,
                 .peer = peer,
                 .had_config_path = frame.had_config_path});
}

void Intake::Hold(Connection& connection, FrameStatus status) {
  held_.push_back({&connection, status});
  ++connection.held;
}

void Intake::Refuse(Connection& connection, FrameStatus status) {
  ClearUnfinished(connection);
  connection.is_closing = true;
  Hold(connection, status);
}

void Intake::SendReplies(size_t count, FrameStatus in_place_of_zero) {
  std::string statuses;
  while (count > 0) {
    Connection* const connection = held_.front().connection;
    statuses.clear();
    while (count > 0 && held_.front().connection == connection) {
      FrameStatus status = held_.front().status;
      if (status == FrameStatus::kTakenOver) status = in_place_of_zero;
      statuses += static_cast<char>(status);
      held_.pop_front();
      --count;
    }
    if (connection == nullptr) continue;
    connection->held -= statuses.size();
    (void)Send(*connection, statuses);
  }
}

// Sends what is unsent and then `statuses`; a peer that does not read waits for itself. Returns
// whether the connection is still there.
bool Intake::Send(Connection& connection, std::string_view statuses) {
  connection.unsent += statuses;
  const ssize_t n = ::send(connection.fd.get(), connection.unsent.data(), connection.unsent.size(),
                           MSG_NOSIGNAL | MSG_DONTWAIT);
  const bool is_gone = n < 0 && errno != EAGAIN;
  if (n > 0) connection.unsent.erase(0, static_cast<size_t>(n));
  if (is_gone || (connection.is_closing && connection.held == 0 && connection.unsent.empty())) {
    Close(connection);
    return false;
  }
  return connection.is_new || UpdateWatch(connection);
}

void Intake::SetUnfinished(Connection& connection, std::string_view bytes) {
  std::string kept(bytes);  // `bytes` may lie in what ClearUnfinished frees
  ClearUnfinished(connection);
  connection.unfinished = std::move(kept);
  unfinished_bytes_ += connection.unfinished.size();
  connection.deadline = loop_.clock().Monotonic() + kFrameTime;
  connection.unfinished_at = unfinished_.insert(unfinished_.end(), &connection);
  if (!overdue_.IsSet()) overdue_.SetAt(connection.deadline);
}

void Intake::ClearUnfinished(Connection& connection) {
  if (connection.unfinished.empty()) return;
  unfinished_bytes_ -= connection.unfinished.size();
  std::string().swap(connection.unfinished);
  unfinished_.erase(connection.unfinished_at);
}

void Intake::Close(Connection& connection) {
  ClearUnfinished(connection);
  if (connection.held > 0) {
    for (HeldReply& reply : held_) {
      if (reply.connection == &connection) reply.connection = nullptr;
    }
  }
  if (connection.is_new) std::erase(new_, &connection);
  if (connection.is_watched) loop_.ForgetClosed(&connection);
  --connection_count_;
  const auto connections = by_uid_.find(connection.peer.uid);
  connections->second.erase(connection.self);
  if (connections->second.empty()) by_uid_.erase(connections);
}

void Intake::CloseLongestIdle() {
  const auto most = std::max_element(
      by_uid_.begin(), by_uid_.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  Connection& idle = most->second.front();
  if (!idle.unfinished.empty()) ++counters_.closed_incomplete;
  Close(idle);
}

// Makes room for other people's frames: from the uid that holds most of the bytes, the frame that
// has been coming longest.
void Intake::CloseLargestHolder() {
  std::map<uid_t, size_t> bytes;
  for (const Connection* connection : unfinished_) {
    bytes[connection->peer.uid] += connection->unfinished.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto oldest = std::find_if(unfinished_.begin(), unfinished_.end(),
                                   [&](const Connection* c) { return c->peer.uid == most->first; });
  ++counters_.closed_incomplete;
  // Not closed here: this may be the very connection that is being served.
  Refuse(**oldest, FrameStatus::kTooLarge);
}

void Intake::CloseOverdue() {
  const MonotonicTime now = loop_.clock().Monotonic();
  while (!unfinished_.empty() && unfinished_.front()->deadline <= now) {
    ++counters_.closed_incomplete;
    Close(*unfinished_.front());
  }
  if (!unfinished_.empty()) overdue_.SetAt(unfinished_.front()->deadline);
}

}  // namespace telem
