#include "base/event_loop.h"

#include <algorithm>
#include <cerrno>
#include <climits>

namespace telem {

Status EventLoop::Open() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return SystemError("epoll", errno);
  return {};
}

Status EventLoop::Watch(int fd, uint32_t events, Handler* handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return SystemError("watch a descriptor", errno);
  }
  return {};
}

Status EventLoop::Rewatch(int fd, uint32_t events, Handler* handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return SystemError("watch a descriptor", errno);
  }
  return {};
}

Status EventLoop::WatchFirst(int fd, Handler* handler) {
  TELEM_CHECK(Watch(fd, EPOLLIN, handler));
  first_ = handler;
  return {};
}

void EventLoop::Forget(int fd, Handler* handler) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  ForgetClosed(handler);
}

void EventLoop::ForgetClosed(Handler* handler) {
  if (first_ == handler) first_ = nullptr;
  for (int i = 0; i < ready_count_; ++i) {
    if (ready_[static_cast<size_t>(i)].data.ptr == handler) {
      ready_[static_cast<size_t>(i)].data.ptr = nullptr;
    }
  }
}

void EventLoop::CallFirst() {
  if (first_ == nullptr) return;
  bool is_due = ready_count_ == static_cast<int>(ready_.size());
  for (int i = 0; i < ready_count_; ++i) {
    epoll_event& event = ready_[static_cast<size_t>(i)];
    if (event.data.ptr != first_) continue;
    event.data.ptr = nullptr;
    is_due = true;
  }
  if (is_due) first_->OnEvents(EPOLLIN);
}

int EventLoop::SleepMilliseconds() const {
  auto earliest = MonotonicTime::max();
  for (const Timer* timer : timers_) earliest = std::min(earliest, timer->when_);
  if (earliest == MonotonicTime::max()) return -1;
  const auto left = earliest - clock_.Monotonic();
  if (left.count() <= 0) return 0;
  // Rounded up: waking a millisecond early would mean going round for nothing.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<long long>(ms, INT_MAX));
}

Status EventLoop::Round(int sleep_ms) {
  const int n =
      ::epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()), sleep_ms);
  if (n < 0 && errno != EINTR) return SystemError("epoll_wait", errno);
  ready_count_ = std::max(n, 0);
  CallFirst();
  for (int i = 0; i < ready_count_; ++i) {
    const epoll_event event = ready_[static_cast<size_t>(i)];
    if (event.data.ptr != nullptr) static_cast<Handler*>(event.data.ptr)->OnEvents(event.events);
  }
  ready_count_ = 0;
  FireTimers();
  if (after_round_) after_round_();
  return {};
}

void EventLoop::FireTimers() {
  if (timers_.empty()) return;
  const MonotonicTime now = clock_.Monotonic();
  // By index, and looked at again after each call: a callback may add and remove timers.
  for (size_t i = 0; i < timers_.size(); ++i) {
    Timer* timer = timers_[i];
    if (timer->when_ > now) continue;
    timer->Clear();
    timer->callback_();
    if (i >= timers_.size() || timers_[i] != timer) --i;
  }
}

Status EventLoop::Run() {
  stopped_ = false;
  while (!stopped_) TELEM_CHECK(Round(SleepMilliseconds()));
  return {};
}

Status EventLoop::RunOnce(std::chrono::milliseconds wait) {
  const int own = SleepMilliseconds();
  const int asked = static_cast<int>(wait.count());
  return Round(own < 0 ? asked : std::min(own, asked));
}

Timer::Timer(EventLoop& loop, std::function<void()> callback)
    : loop_(loop), callback_(std::move(callback)) {
  loop_.timers_.push_back(this);
}

Timer::~Timer() { std::erase(loop_.timers_, this); }

}  // namespace telem
