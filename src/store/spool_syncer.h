// SpoolSyncer: makes what lies in the spool, and what the journal tells of it, survive a power cut,
// on a thread of its own, so that a slow disk holds up nobody who sends.
//
// One syncfs for all files that came since the last: a thousand fdatasync are thirty times as slow.
// Where the journal's folder is on another file system, that has one of its own.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

class SpoolSyncer {
 public:
  // Descriptors of the spool and of the journal's folder, which outlive this.
  SpoolSyncer(int spool, int journal) : spool_(spool), journal_(journal) {}
  ~SpoolSyncer();
  SpoolSyncer(const SpoolSyncer&) = delete;
  SpoolSyncer& operator=(const SpoolSyncer&) = delete;

  // Creates the eventfd that becomes readable when a sync has ended.
  Status Open();
  int done_fd() const { return done_.get(); }

  // Syncs here and now.
  Status Sync() const;

  // Starts a sync of everything that is in the spool now. One at a time: not while IsBusy().
  Status Start();
  bool IsBusy() const { return busy_; }

  // Comes back once the sync under way has ended.
  void Wait() const;

  // What became of the sync, once done_fd() is readable.
  Status TakeResult();

 private:
  void Run();
  int SyncOrErrno() const;

  const int spool_;
  const int journal_;
  UniqueFd done_;
  bool busy_ = false;  // the owner's view; the thread does not look at it
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool wanted_ = false;
  bool ended_ = false;
  int error_ = 0;
};

}  // namespace telem
