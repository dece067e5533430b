// Control: the socket by which telemctl looks at telemd and acts on what it keeps. Lines of JSON:
// one a request, one or more an answer (control_request.h, docs/formats.md).
//
// Reading is for root, telemd's own user, and the groups adm and telemetry, by what the kernel says
// of the peer, changing for root, and for a person who started a telemd of his own
// (control_rights.h); the socket itself is open to all, so that everybody else
// gets a clear answer. An answer is made a piece at a time, as its reader takes it, so memory does
// not grow with what is shown. What a request changed has happened, journal line included, before
// the answer to it goes out: that is written in the next round of the loop.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "daemon/control_request.h"
#include "daemon/control_rights.h"
#include "ipc/unix_socket.h"

namespace telem {

// One connection's conversation: the requests of one peer, in order.
class ControlSession {
 public:
  virtual ~ControlSession() = default;

  // Does what is asked for, and gets ready to tell. The peer may ask for it.
  virtual void Begin(const ControlRequest& request) = 0;

  // Appends the next lines of the answer, some 32 KiB at most; false when the answer is complete.
  virtual bool Next(std::string& out) = 0;
};

class Control final : private EventLoop::Handler {
 public:
  using MakeSession = std::function<std::unique_ptr<ControlSession>(const Peer& peer)>;

  Control(EventLoop& loop, ControlRights rights, MakeSession make_session);
  ~Control();

  Status Listen(UniqueFd listener);

 private:
  struct Client;
  static constexpr size_t kMaxClients = 16;
  static constexpr size_t kMaxRequest = 4096;
  // With a piece of a record in it, which only they may send who may change.
  static constexpr size_t kMaxRequestWithData = size_t{64} * 1024;
  // A client that sends no request, or takes no byte of its answer, for so long is left.
  static constexpr std::chrono::seconds kPatience{5};

  void OnEvents(uint32_t events) override;
  bool MayChange(const Peer& peer) const;
  bool MayRead(const Client& client) const;
  void Read(Client& client);
  void TakeRequest(Client& client);
  void Write(Client& client);
  void Close(Client& client);
  void CloseOverdue();
  void Postpone(Client& client);
  Client& LeastWanted();

  EventLoop& loop_;
  const ControlRights rights_;
  MakeSession make_session_;
  UniqueFd listener_;
  std::list<Client> clients_;  // the one that is overdue next comes first
  Timer overdue_;
  Timer resume_;
};

}  // namespace telem
