// Follows the kernel's log and gets every report in it to telemd: once, and for sure.
//
// A report goes to telemd at once. Where telemd does not take it (it is away, its spool is full)
// the report is laid into the folder `cache_dir/oops`, from where it is sent later, also by
// oopsprobe after the next boot. The position in the log is moved on only when one of the two has
// happened, and so is the same after a crash: what is read again then is not sent again
// (SentEvents).
//
// It makes no system call while the kernel prints nothing, nothing is open and nothing waits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "probes/common/record_outlet.h"
#include "probes/kernel/kmsg_log.h"
#include "probes/kernel/kmsg_position.h"
#include "probes/kernel/oops_folder.h"

namespace telem {

class KmsgScanner {
 public:
  enum class Way {
    kSend,   // to telemd
    kFiles,  // into the folder only, for oopsprobe
    kShow,   // print what is there now, and end; nothing is remembered
  };

  // `log`: /dev/kmsg, or a file, pipe or FIFO of the same form. `complain` gets one line on what
  // went wrong and does not end the scan.
  KmsgScanner(UniqueFd log, Way way, const RecordOutlet& outlet,
              std::function<void(const std::string&)> complain);

  // Until SIGTERM or SIGINT, the end of a log that has one, or the end of consent. What is open
  // then is complete.
  Status Run();

 private:
  enum class Next { kMore, kDrained, kEnd };

  Status Start();
  Status Loop();
  Result<Next> ReadSome();
  // Waits for the log, a signal or the time to try again; whether to go on.
  Result<bool> Wait();
  int Patience() const;
  Status Settle();
  Status HandOver();
  Status Deliver(const RawReport& raw);
  void TryAgain();
  Status SavePosition();
  bool HasFilesWaiting() const { return retry_after_ms_ > 0; }

  UniqueFd log_fd_;
  Way way_;
  const RecordOutlet& outlet_;
  std::function<void(const std::string&)> complain_;
  std::string position_path_;
  KmsgPosition position_;
  OopsFolder folder_;
  KmsgLog log_;
  UniqueFd signals_;
  std::string buffer_;
  int retry_after_ms_ = 0;  // 0: nothing waits in the folder
  bool is_ended_ = false;   // consent is withdrawn
};

}  // namespace telem
