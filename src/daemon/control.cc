#include "daemon/control.h"

#include <grp.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "base/flat_json.h"
#include "base/text.h"

namespace telem {
namespace {

std::string ErrorAnswer(std::string_view what) {
  return FlatJsonWriter().Add("error", what).Finish();
}

std::optional<gid_t> FindGroup(const char* name) {
  std::vector<char> buffer(16 * 1024);
  group entry{};
  group* found = nullptr;
  ::getgrnam_r(name, &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return std::nullopt;
  return found->gr_gid;
}

bool MayRead(const Peer& peer, int fd) {
  if (peer.uid == 0 || peer.uid == ::geteuid()) return true;
  for (const char* name : {"adm", "telemetry"}) {
    const auto group = FindGroup(name);
    if (group && (peer.gid == *group || PeerHasGroup(fd, *group))) return true;
  }
  return false;
}

}  // namespace

struct Control::Client final : EventLoop::Handler {
  Client(Control& owner, UniqueFd socket, const Peer& caller)
      : control(owner), fd(std::move(socket)), peer(caller) {}

  void OnEvents(uint32_t events) override {
    if (answer.empty()) return control.Read(*this);
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return control.Close(*this);
    control.Write(*this);
  }

  Control& control;
  UniqueFd fd;
  Peer peer;
  std::list<Client>::iterator self;
  MonotonicTime deadline;
  std::string request;
  std::string answer;
};

Control::Control(EventLoop& loop, MakeStatus make_status)
    : loop_(loop),
      make_status_(std::move(make_status)),
      overdue_(loop, [this] { CloseOverdue(); }) {}

Control::~Control() {
  while (!clients_.empty()) Close(clients_.front());
  if (listener_.valid()) loop_.Forget(listener_.get(), this);
}

Status Control::Listen(UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.Watch(listener_.get(), EPOLLIN, this);
}

void Control::OnEvents(uint32_t /*events*/) {
  // The oldest makes room: nobody keeps the others out by asking nothing.
  if (clients_.size() == kMaxClients) Close(clients_.front());
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  const auto peer = PeerOf(socket.get());
  if (!peer) return;
  Client& client = clients_.emplace_back(*this, std::move(socket), *peer);
  client.self = std::prev(clients_.end());
  client.deadline = loop_.clock().Monotonic() + kRequestTime;
  if (!overdue_.IsSet()) overdue_.SetAt(client.deadline);
  if (!loop_.Watch(client.fd.get(), EPOLLIN, &client)) Close(client);
}

void Control::Read(Client& client) {
  char bytes[kMaxRequest];
  const ssize_t n = ::recv(client.fd.get(), bytes, sizeof bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Close(client);
  client.request.append(bytes, static_cast<size_t>(n));
  std::string_view rest = client.request;
  if (rest.contains('\n')) {
    client.answer = Answer(TakeUntil(rest, '\n'), client.peer, client.fd.get());
  } else if (client.request.size() > kMaxRequest) {
    client.answer = ErrorAnswer("request too long");
  } else {
    return;
  }
  client.answer += '\n';
  Write(client);
}

void Control::Write(Client& client) {
  const ssize_t n =
      ::send(client.fd.get(), client.answer.data(), client.answer.size(), MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return Close(client);
  if (n > 0) client.answer.erase(0, static_cast<size_t>(n));
  if (client.answer.empty() || !loop_.Rewatch(client.fd.get(), EPOLLOUT, &client)) Close(client);
}

std::string Control::Answer(std::string_view request, const Peer& peer, int fd) const {
  if (!MayRead(peer, fd)) {
    return ErrorAnswer(
        "permission denied: only root and members of the groups adm and telemetry may ask");
  }
  const auto values = ParseFlatJson(request);
  if (!values) return ErrorAnswer(values.error().message);
  const auto command = values->find("command");
  if (command == values->end()) return ErrorAnswer("no command");
  if (command->second == "status") return make_status_();
  return ErrorAnswer("unknown command '" + PrintableAscii(command->second, 40) + "'");
}

void Control::Close(Client& client) {
  loop_.Forget(client.fd.get(), &client);
  clients_.erase(client.self);
}

void Control::CloseOverdue() {
  const MonotonicTime now = loop_.clock().Monotonic();
  while (!clients_.empty() && clients_.front().deadline <= now) Close(clients_.front());
  if (!clients_.empty()) overdue_.SetAt(clients_.front().deadline);
}

}  // namespace telem
