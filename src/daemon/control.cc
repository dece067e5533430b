#include "daemon/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/flat_json.h"
#include "base/text.h"

namespace telem {
namespace {

// How long nobody is accepted where there is no descriptor to be had.
constexpr std::chrono::milliseconds kPause{100};

std::string ErrorAnswer(std::string_view what, bool is_denied = false) {
  FlatJsonWriter json;
  json.Add("error", what);
  if (is_denied) json.Add("denied", true);
  return json.Finish() + "\n";
}

}  // namespace

struct Control::Client final : EventLoop::Handler {
  Client(Control& owner, UniqueFd socket, const Peer& caller)
      : control(owner), fd(std::move(socket)), peer(caller) {}

  void OnEvents(uint32_t events) override {
    if (!is_answering) return control.Read(*this);
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return control.Close(*this);
    control.Write(*this);
  }

  Control& control;
  UniqueFd fd;
  Peer peer;
  std::unique_ptr<ControlSession> session;
  std::list<Client>::iterator self;
  MonotonicTime deadline;
  std::string request;  // as far as it is here, and what follows it
  std::string answer;   // what is to be sent next
  bool is_answering = false;
  bool has_more = false;  // the session has more to tell
  bool keeps_open = false;
};

Control::Control(EventLoop& loop, ControlRights rights, MakeSession make_session)
    : loop_(loop),
      rights_(std::move(rights)),
      make_session_(std::move(make_session)),
      overdue_(loop, [this] { CloseOverdue(); }),
      resume_(loop, [this] {
        if (!loop_.Rewatch(listener_.get(), EPOLLIN, this)) resume_.SetAfter(kPause);
      }) {}

Control::~Control() {
  while (!clients_.empty()) Close(clients_.front());
  if (listener_.valid()) loop_.Forget(listener_.get(), this);
}

Status Control::Listen(UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.Watch(listener_.get(), EPOLLIN, this);
}

void Control::OnEvents(uint32_t /*events*/) {
  if (clients_.size() == kMaxClients) Close(LeastWanted());
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    if (errno == EAGAIN || errno == ECONNABORTED) return;
    // No descriptor: asking on and on would only heat the machine.
    if (loop_.Rewatch(listener_.get(), 0, this)) resume_.SetAfter(kPause);
    return;
  }
  const auto peer = PeerOf(socket.get());
  if (!peer) return;
  Client& client = clients_.emplace_back(*this, std::move(socket), *peer);
  client.self = std::prev(clients_.end());
  client.session = make_session_(*peer);
  Postpone(client);
  if (!loop_.Watch(client.fd.get(), EPOLLIN, &client)) Close(client);
}

bool Control::MayChange(const Peer& peer) const {
  return peer.uid == 0 || peer.uid == rights_.owner;
}

bool Control::MayRead(const Client& client) const {
  const Peer& peer = client.peer;
  if (MayChange(peer) || peer.uid == ::geteuid()) return true;
  return std::any_of(rights_.readers.begin(), rights_.readers.end(), [&](gid_t group) {
    return peer.gid == group || PeerHasGroup(client.fd.get(), group);
  });
}

// Who makes room for the next: nobody keeps root out by asking nothing.
Control::Client& Control::LeastWanted() {
  const auto at = std::find_if(clients_.begin(), clients_.end(),
                               [this](const Client& client) { return !MayChange(client.peer); });
  return at == clients_.end() ? clients_.front() : *at;
}

void Control::Read(Client& client) {
  char bytes[kMaxRequest];
  const ssize_t n = ::recv(client.fd.get(), bytes, sizeof bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Close(client);
  client.request.append(bytes, static_cast<size_t>(n));
  TakeRequest(client);
}

// Answers what has come, once it is a line.
void Control::TakeRequest(Client& client) {
  const size_t limit = MayChange(client.peer) ? kMaxRequestWithData : kMaxRequest;
  const size_t size = client.request.find('\n');
  client.keeps_open = false;
  client.has_more = false;
  if (std::min(size, client.request.size()) > limit) {
    client.answer = ErrorAnswer("request too long");
  } else if (size == std::string::npos) {
    return;
  } else {
    const auto request = ParseControlRequest(std::string_view(client.request).substr(0, size));
    client.request.erase(0, size + 1);
    if (!MayRead(client)) {
      client.answer = ErrorAnswer(
          "permission denied: only root and members of the groups adm and telemetry may ask", true);
    } else if (!request) {
      client.answer = ErrorAnswer(request.error().message);
    } else if (IsChanging(request->command) && !MayChange(client.peer)) {
      client.answer = ErrorAnswer("permission denied: only root may do this", true);
    } else {
      client.session->Begin(*request);
      client.keeps_open = request->keep_open;
      client.has_more = true;
    }
  }
  client.is_answering = true;
  Postpone(client);
  if (!loop_.Rewatch(client.fd.get(), EPOLLOUT, &client)) Close(client);
}

void Control::Write(Client& client) {
  if (client.answer.empty() && client.has_more) {
    client.has_more = client.session->Next(client.answer);
  }
  const ssize_t n =
      ::send(client.fd.get(), client.answer.data(), client.answer.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return Close(client);
  if (n < 0) return;
  Postpone(client);
  client.answer.erase(0, static_cast<size_t>(n));
  if (!client.answer.empty() || client.has_more) return;
  if (!client.keeps_open) return Close(client);
  client.is_answering = false;
  if (!loop_.Rewatch(client.fd.get(), EPOLLIN, &client)) return Close(client);
  TakeRequest(client);
}

void Control::Close(Client& client) {
  loop_.Forget(client.fd.get(), &client);
  clients_.erase(client.self);
}

// It has come forward, so its time begins anew.
void Control::Postpone(Client& client) {
  client.deadline = loop_.clock().Monotonic() + kPatience;
  clients_.splice(clients_.end(), clients_, client.self);
  if (!overdue_.IsSet()) overdue_.SetAt(client.deadline);
}

void Control::CloseOverdue() {
  const MonotonicTime now = loop_.clock().Monotonic();
  while (!clients_.empty() && clients_.front().deadline <= now) Close(clients_.front());
  if (!clients_.empty()) overdue_.SetAt(clients_.front().deadline);
}

}  // namespace telem
