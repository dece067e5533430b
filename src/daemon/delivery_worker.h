// DeliveryWorker: the telem-deliver process at the other end of a socket. Records go in, verdicts
// come out; what becomes of them is the owner's business.
//
// Where a service manager listens in its place (telem-deliver.socket), the process is that one's:
// of another user, with the network, and without any file of ours. Else it is a child of this
// process. Either ends at once when the connection is closed here (deliver/caller_watch.h), ends by
// itself some seconds after its last work, and may die at any time: on_gone tells of that, and
// Start() makes a new one.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/event_loop.h"
#include "record/delivery_codec.h"

namespace telem {

class DeliveryWorker final : private EventLoop::Handler {
 public:
  struct Owner {
    std::function<void(const Verdict&)> on_verdict;
    std::function<void()> on_gone;  // no verdict will come any more
  };

  // Where telem-deliver is.
  struct Way {
    std::string socket;   // where a service manager may listen in its place
    std::string program;  // its path, for where nobody does
  };

  DeliveryWorker(EventLoop& loop, Way way, Owner owner);
  ~DeliveryWorker();

  // kDenied, or what connecting or starting it says.
  Status Start(const DeliverySettings& settings);
  bool IsRunning() const { return socket_.valid(); }

  // Puts one record among what Flush() will write.
  void HandOver(const RecordId& id, std::string_view headers, std::string_view payload);
  void Flush();
  // Records that were handed over since the last Flush().
  size_t not_flushed() const { return not_flushed_; }

  // Whether the process has read what it got; there is no use in heaping up more.
  bool HasRoom() const { return unsent_.size() < kMaxUnsent; }

  // Closes the connection, which ends the process, and kills it where it is a child, whatever it
  // does. on_gone is not called.
  void Kill();

  // A child has ended; takes note if it was this one.
  void Reap();

 private:
  static constexpr size_t kMaxUnsent = 64 * 1024;

  Result<UniqueFd> Connect() const;
  Result<UniqueFd> Spawn();
  void OnEvents(uint32_t events) override;
  void ReadVerdicts();
  void Disconnect();

  EventLoop& loop_;
  const Way way_;
  const Owner owner_;
  pid_t pid_ = 0;  // where it is a child
  UniqueFd socket_;
  std::string unsent_;
  size_t not_flushed_ = 0;
  bool is_waiting_for_room_ = false;
  std::string verdicts_;  // the front of a line
};

}  // namespace telem
