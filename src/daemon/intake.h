// Intake: takes frames from any number of senders, none of which can hold up another.
//
// Frames arrive in any number of pieces, several on one connection; each is answered with one
// status byte, in order, once the owner says that the answer holds (SendReplies). Everything that a
// sender can grow has a limit: connections (the one of the uid with most that was idle longest
// makes room), bytes of unfinished frames, time from a frame's first byte to its last.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "daemon/counters.h"
#include "ipc/unix_socket.h"
#include "record/frame_codec.h"

namespace telem {

// A frame whose form is right. Views into a buffer that holds until the call returns.
struct IncomingRecord {
  HeaderViews headers;
  std::string_view payload;
  Peer peer;
  bool had_config_path = false;
};

class Intake final : private EventLoop::Handler {
 public:
  static constexpr std::chrono::seconds kFrameTime{10};
  static constexpr size_t kMaxConnections = 4096;
  // Of all unfinished frames together: thirteen of the largest.
  static constexpr size_t kMaxUnfinishedBytes = 4 * 1024 * 1024;

  // Decides on one record; the status goes back to its sender by SendReplies.
  using Admit = std::function<FrameStatus(const IncomingRecord&)>;

  // `max_connections` is what the limit on descriptors allows, at most kMaxConnections.
  Intake(EventLoop& loop, Counters& counters, size_t max_connections, Admit admit);
  ~Intake();

  // Takes connections from `listener` (non-blocking) from here on.
  Status Listen(UniqueFd listener);

  // How many senders are connected.
  size_t connections() const { return connection_count_; }

  // How many statuses wait for SendReplies.
  size_t held() const { return held_.size(); }

  // Sends the `count` oldest statuses. With `in_place_of_zero` that goes out where a 0 was held:
  // the owner could not keep his promise.
  void SendReplies(size_t count, FrameStatus in_place_of_zero = FrameStatus::kTakenOver);

  // Closes those of this round's newcomers that have said all and had their answers, and watches
  // the others.
  void EndRound();

 private:
  struct Connection;
  using Connections = std::list<Connection>;
  struct HeldReply {
    Connection* connection;  // null when it is gone
    FrameStatus status;
  };

  void OnEvents(uint32_t events) override;
  bool Accept();
  int AcceptOne();
  void OnConnection(Connection& connection, uint32_t events);
  void Read(Connection& connection);
  bool ReadOnce(Connection& connection);
  void Parse(Connection& connection, std::string_view fresh, bool closed);
  FrameStatus Take(const Frame& frame, const Peer& peer);
  void Hold(Connection& connection, FrameStatus status);
  void Refuse(Connection& connection, FrameStatus status);
  bool Send(Connection& connection, std::string_view statuses);
  bool UpdateWatch(Connection& connection);
  void SetUnfinished(Connection& connection, std::string_view bytes);
  void ClearUnfinished(Connection& connection);
  void Close(Connection& connection);
  void CloseLongestIdle();
  void CloseLargestHolder();
  void CloseOverdue();

  EventLoop& loop_;
  Counters& counters_;
  const size_t max_connections_;
  Admit admit_;
  UniqueFd listener_;
  std::map<uid_t, Connections> by_uid_;  // each list: idle longest first
  size_t connection_count_ = 0;
  std::vector<Connection*> new_;       // accepted in this round, and had something to say
  std::list<Connection*> unfinished_;  // oldest frame first
  size_t unfinished_bytes_ = 0;
  Timer overdue_;
  Timer resume_;
  std::deque<HeldReply> held_;
  std::array<char, 64 * 1024> buffer_;
};

}  // namespace telem
