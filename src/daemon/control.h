// Control: the socket by which telemctl looks at telemd. One JSON line each way a connection.
//
// Reading is for root, telemd's own user, and the groups adm and telemetry, by what the kernel says
// of the peer; the socket itself is open to all, so that everybody else gets a clear answer.
#pragma once

#include <functional>
#include <list>
#include <string>

#include "base/event_loop.h"
#include "ipc/unix_socket.h"

namespace telem {

class Control final : private EventLoop::Handler {
 public:
  // The status as one JSON object, without a newline.
  using MakeStatus = std::function<std::string()>;

  Control(EventLoop& loop, MakeStatus make_status);
  ~Control();

  Status Listen(UniqueFd listener);

 private:
  struct Client;
  static constexpr size_t kMaxClients = 16;
  static constexpr size_t kMaxRequest = 4096;
  static constexpr std::chrono::seconds kRequestTime{5};

  void OnEvents(uint32_t events) override;
  void Read(Client& client);
  void Write(Client& client);
  std::string Answer(std::string_view request, const Peer& peer, int fd) const;
  void Close(Client& client);
  void CloseOverdue();

  EventLoop& loop_;
  MakeStatus make_status_;
  UniqueFd listener_;
  std::list<Client> clients_;  // oldest first
  Timer overdue_;
};

}  // namespace telem
