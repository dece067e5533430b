#include "probes/kernel/kmsg_scanner.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/clock.h"
#include "base/files.h"
#include "base/text.h"
#include "probes/kernel/kernel_record.h"

namespace telem {
namespace {

// How long a report that has no ending line is waited for. Its lines come within milliseconds,
// those that it asks other processors for within a second.
constexpr int kQuietMs = 2000;
constexpr int kFirstRetryMs = 10'000;
constexpr int kLongestRetryMs = 600'000;
// Between two looks at signals and at what has become complete.
constexpr int kReadsInARow = 256;

// The kernel counts the time of its log from its start and without sleep, as the monotonic clock.
std::chrono::sys_seconds WhenWas(uint64_t time_us) {
  using std::chrono::microseconds;
  const SystemClock clock;
  const auto now = std::chrono::duration_cast<microseconds>(clock.Monotonic().time_since_epoch());
  const auto ago = now - microseconds(time_us);
  return std::chrono::floor<std::chrono::seconds>(
      std::chrono::time_point_cast<microseconds>(clock.Now()) - ago);
}

}  // namespace

KmsgScanner::KmsgScanner(UniqueFd log, Way way, const RecordOutlet& outlet,
                         std::function<void(const std::string&)> complain)
    : log_fd_(std::move(log)),
      way_(way),
      outlet_(outlet),
      complain_(std::move(complain)),
      position_path_(KmsgPositionPath(outlet.settings().cache_dir)),
      folder_(outlet.settings().cache_dir + "/oops"),
      log_(0) {}

Status KmsgScanner::Run() {
  TELEM_CHECK(Start());
  TELEM_CHECK(Loop());
  if (!is_ended_) TELEM_CHECK(Settle());
  if (!is_ended_) return SavePosition();
  return way_ == Way::kSend ? folder_.Discard() : Status();
}

Status KmsgScanner::Start() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return SystemError("block signals", errno);
  signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals_.get() < 0) return SystemError("signalfd", errno);
  buffer_.resize(KmsgLog::kLongestRecord);
  const std::string boot_id = ReadBootId();
  if (way_ == Way::kShow) {
    position_.boot_id = boot_id;
    return {};
  }
  TELEM_TRY(position_, ReadKmsgPosition(position_path_, boot_id));
  log_ = KmsgLog(position_.next);
  // Before anything else: pstoreprobe asks which boot came before.
  TELEM_CHECK(ReplaceFile(position_path_, position_.Save(), 0600));
  if (way_ == Way::kSend) {
    TELEM_TRY(const bool waiting, folder_.HasFiles());
    if (waiting) TryAgain();
  }
  return {};
}

Status KmsgScanner::Loop() {
  while (!is_ended_) {
    Next next = Next::kMore;
    for (int i = 0; i < kReadsInARow && next == Next::kMore; ++i) {
      TELEM_TRY(next, ReadSome());
    }
    if (const uint64_t lost = log_.TakeLost(); lost > 0) {
      complain_(std::to_string(lost) +
                " lines of the kernel's log were overwritten before they could be read");
    }
    TELEM_CHECK(HandOver());
    if (next == Next::kEnd || is_ended_) return {};
    if (next == Next::kDrained) {
      if (way_ == Way::kShow) return {};
      TELEM_TRY(const bool go_on, Wait());
      if (!go_on) return {};
    } else {
      pollfd signals{.fd = signals_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&signals, 1, 0) > 0) return {};
    }
  }
  return {};
}

Result<KmsgScanner::Next> KmsgScanner::ReadSome() {
  const ssize_t got = ::read(log_fd_.get(), buffer_.data(), buffer_.size());
  if (got > 0) {
    log_.Feed(std::string_view(buffer_.data(), static_cast<size_t>(got)));
    return Next::kMore;
  }
  if (got == 0) return Next::kEnd;
  switch (errno) {
    case EAGAIN:
      return Next::kDrained;
    case EPIPE:   // overwritten meanwhile: the next record's number tells how much
    case EINVAL:  // longer than any that the kernel makes: skipped
    case EINTR:
      return Next::kMore;
    default:
      return SystemError("read the kernel's log", errno);
  }
}

int KmsgScanner::Patience() const {
  if (log_.HasOpen()) return kQuietMs;
  return HasFilesWaiting() ? retry_after_ms_ : -1;
}

Result<bool> KmsgScanner::Wait() {
  std::array<pollfd, 2> watched{{{.fd = log_fd_.get(), .events = POLLIN, .revents = 0},
                                 {.fd = signals_.get(), .events = POLLIN, .revents = 0}}};
  const int ready = ::poll(watched.data(), watched.size(), Patience());
  if (ready < 0 && errno != EINTR) return SystemError("poll", errno);
  if (ready > 0 && watched[1].revents != 0) return false;
  if (ready == 0) {
    if (log_.HasOpen()) {
      TELEM_CHECK(Settle());
    } else if (HasFilesWaiting()) {
      TryAgain();
    }
  }
  return !is_ended_;
}

Status KmsgScanner::Settle() {
  log_.Settle();
  return HandOver();
}

Status KmsgScanner::HandOver() {
  const auto reports = log_.TakeFinished();
  for (const RawReport& raw : reports) {
    TELEM_CHECK(Deliver(raw));
    if (is_ended_) return {};
  }
  // Lines that are no report can be read again.
  return reports.empty() ? Status() : SavePosition();
}

Status KmsgScanner::Deliver(const RawReport& raw) {
  if (way_ == Way::kShow) return outlet_.Hand(MakeKernelRecord(raw, position_.boot_id));
  if (!outlet_.IsWanted()) {
    is_ended_ = true;
    return {};
  }
  if (raw.time_us && outlet_.IsBeforeConsent(WhenWas(*raw.time_us))) return {};
  if (way_ == Way::kSend) {
    const Status sent = outlet_.HandOnce(MakeKernelRecord(raw, position_.boot_id));
    if (sent) {
      if (HasFilesWaiting()) TryAgain();
      return {};
    }
    if (IsHopeless(sent.error())) {
      complain_(sent.error().message + "; it is given up");
      return {};
    }
    if (!outlet_.IsWanted()) {
      is_ended_ = true;
      return {};
    }
    complain_(sent.error().message + "; the report waits in '" + outlet_.settings().cache_dir +
              "/oops'");
    if (retry_after_ms_ == 0) retry_after_ms_ = kFirstRetryMs;
  }
  return folder_.Put(raw, position_.boot_id);
}

void KmsgScanner::TryAgain() {
  if (!outlet_.IsWanted()) {
    is_ended_ = true;
    return;
  }
  const Status sent = folder_.SendAll(outlet_, complain_);
  if (sent) {
    retry_after_ms_ = 0;
    return;
  }
  if (retry_after_ms_ == 0) complain_(sent.error().message + "; tried again later");
  retry_after_ms_ = std::clamp(2 * retry_after_ms_, kFirstRetryMs, kLongestRetryMs);
}

Status KmsgScanner::SavePosition() {
  if (way_ == Way::kShow) return {};
  const uint64_t next = log_.SafePosition();
  if (next == position_.next) return {};
  position_.next = next;
  return ReplaceFile(position_path_, position_.Save(), 0600);
}

}  // namespace telem
