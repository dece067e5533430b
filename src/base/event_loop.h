// EventLoop: waits for descriptors and times on one thread, on epoll. It makes no system call while
// nothing happens.
//
// Usage: handlers Watch() their descriptors, Timers call back, Run() goes round until Stop().
// Handlers and timers may be created, changed and destroyed from inside any callback.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

class EventLoop {
 public:
  class Handler {
   public:
    // `events` as epoll gives them (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR).
    virtual void OnEvents(uint32_t events) = 0;

   protected:
    ~Handler() = default;
  };

  explicit EventLoop(const Clock& clock) : clock_(clock) {}
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Creates the epoll descriptor; nothing else may be called before.
  Status Open();

  // Level-triggered. `handler` is not owned and stays valid until Forget().
  Status Watch(int fd, uint32_t events, Handler* handler);
  Status Rewatch(int fd, uint32_t events, Handler* handler);

  // As Watch() for reading, for the one handler whose events come before all others of a round.
  // While so much happens that a round does not bring everything, it is called in each one, and may
  // find nothing to read.
  Status WatchFirst(int fd, Handler* handler);

  // Before `fd` is closed. Events of it that were already fetched are not delivered any more.
  void Forget(int fd, Handler* handler);
  // The same, one system call cheaper, for a descriptor that is closed at once. Closing takes it
  // out of epoll only when nobody else holds it, so children must not inherit it up to their exec
  // (epoll(7); DeliveryWorker::Start).
  void ForgetClosed(Handler* handler);

  // Called once after each round of events and timers, before the loop sleeps again.
  void SetAfterRound(std::function<void()> callback) { after_round_ = std::move(callback); }

  // Goes round until Stop(). An error is one of epoll itself.
  Status Run();
  // One round, waiting for at most `wait`.
  Status RunOnce(std::chrono::milliseconds wait);
  void Stop() { stopped_ = true; }
  bool is_stopped() const { return stopped_; }

  const Clock& clock() const { return clock_; }

 private:
  friend class Timer;

  int SleepMilliseconds() const;
  Status Round(int sleep_ms);
  void CallFirst();
  void FireTimers();

  const Clock& clock_;
  UniqueFd epoll_;
  std::array<epoll_event, 64> ready_{};
  int ready_count_ = 0;
  Handler* first_ = nullptr;
  std::vector<class Timer*> timers_;
  std::function<void()> after_round_;
  bool stopped_ = false;
};

// Calls back once at a time. Owned by whoever needs the call; destroying it cancels.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void()> callback);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void SetAt(MonotonicTime when) { when_ = when; }
  void SetAfter(std::chrono::nanoseconds delay) { when_ = loop_.clock().Monotonic() + delay; }
  void Clear() { when_ = MonotonicTime::max(); }
  bool IsSet() const { return when_ != MonotonicTime::max(); }
  MonotonicTime when() const { return when_; }

 private:
  friend class EventLoop;

  EventLoop& loop_;
  std::function<void()> callback_;
  MonotonicTime when_ = MonotonicTime::max();
};

}  // namespace telem
