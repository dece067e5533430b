#include "store/spool_syncer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace telem {
namespace {

Status SyncError(int err) { return SystemError("sync the spool", err); }

bool AreOnOneFileSystem(int a, int b) {
  struct stat of_a;
  struct stat of_b;
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

}  // namespace

SpoolSyncer::~SpoolSyncer() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Status SpoolSyncer::Open() {
  done_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!done_.valid()) return SystemError("eventfd", errno);
  return {};
}

Status SpoolSyncer::Start() {
  if (!thread_.joinable()) {
    // Signals are the event loop's; a thread inherits the mask it is made with.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = 0;
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      err = error.code().value();
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (err != 0) return SystemError("start the thread that syncs", err);
  }
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_one();
  busy_ = true;
  return {};
}

void SpoolSyncer::Wait() const {
  pollfd done{.fd = done_.get(), .events = POLLIN, .revents = 0};
  while (::poll(&done, 1, -1) < 0 && errno == EINTR) continue;
}

Status SpoolSyncer::TakeResult() {
  eventfd_t count;
  (void)::eventfd_read(done_.get(), &count);
  busy_ = false;
  const std::lock_guard lock(mutex_);
  if (error_ != 0) return SyncError(error_);
  return {};
}

Status SpoolSyncer::Sync() const {
  if (const int err = SyncOrErrno(); err != 0) return SyncError(err);
  return {};
}

int SpoolSyncer::SyncOrErrno() const {
  if (::syncfs(spool_) != 0) return errno;
  if (!AreOnOneFileSystem(spool_, journal_) && ::syncfs(journal_) != 0) return errno;
  return 0;
}

void SpoolSyncer::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return wanted_ || ended_; });
    if (ended_) return;
    wanted_ = false;
    lock.unlock();
    const int err = SyncOrErrno();
    lock.lock();
    error_ = err;
    (void)::eventfd_write(done_.get(), 1);  // fails only when nobody has read 2^64 of them
  }
}

}  // namespace telem
