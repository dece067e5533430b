#include "daemon/consent_follower.h"

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "daemon/saved_state.h"

namespace telem {
namespace {

// So many records are given up before senders get their turn again.
constexpr size_t kEvictStep = 200;

}  // namespace

ConsentFollower::ConsentFollower(Parts parts, WallTime started)
    : parts_(std::move(parts)),
      has_consent_(parts_.consent.IsGiven()),
      seen_since_(started),
      start_(FindStart()),
      evict_due_(parts_.loop, [] {}) {}  // the round that it wakes goes on with it

void ConsentFollower::Follow() {
  const bool had_consent = has_consent_;
  has_consent_ = parts_.consent.IsGiven();
  if (has_consent_ && !had_consent) {
    Log(LogLevel::kNotice, "consent is given: collecting");
    seen_since_ = parts_.loop.clock().Now();
    start_ = seen_since_;
    parts_.load_machine_id();
    parts_.delivery.TryNow();
  } else if (!has_consent_ && had_consent) {
    Log(LogLevel::kNotice, "consent is gone: collecting nothing any more");
    parts_.delivery.Cut();
  }
  if (parts_.consent.IsWithheld()) {
    if (is_noted_ != false) End();
    is_evicting_ = true;
  } else if (has_consent_ && is_noted_ != true && !parts_.spool.is_scanning()) {
    NoteStart();
  }
}

// As far as files that lie in the spool when telemd starts are concerned; the epoch where nobody
// knows. A time to come means that the clock was set back, and says nothing about them.
WallTime ConsentFollower::FindStart() const {
  const Settings& settings = parts_.settings;
  auto since = ReadConsentSince(settings);
  if (!since && settings.consent == ConsentMode::kOptIn) since = FindOptInTime(settings);
  return since && *since <= parts_.loop.clock().Now() ? WallTime(*since) : WallTime();
}

void ConsentFollower::NoteStart() {
  is_noted_ = true;
  const Settings& settings = parts_.settings;
  if (ReadConsentSince(settings)) return;
  auto start = std::chrono::floor<std::chrono::seconds>(seen_since_);
  if (settings.consent == ConsentMode::kOptIn) {
    start = std::min(start, FindOptInTime(settings).value_or(start));
  } else if (const WaitingRecord* const oldest = parts_.spool.Oldest()) {
    // Collected with consent already before that was written down: by telemetrics-client.
    start = std::min(start, std::chrono::floor<std::chrono::seconds>(oldest->id().Time()));
  }
  WriteStart(start);
}

void ConsentFollower::WriteStart(std::chrono::sys_seconds start) {
  noted_ = start;
  if (const Status written = WriteConsentSince(parts_.settings, start); !written) {
    Log(LogLevel::kError, written.error().message);
  }
}

void ConsentFollower::MoveStart(std::chrono::seconds step) {
  if (noted_) WriteStart(*noted_ + step);
}

// What waits goes by EvictSome(); rejected records could be sent again as well, and what is
// remembered of them and of what was delivered goes with them.
void ConsentFollower::End() {
  is_noted_ = false;
  noted_.reset();
  const auto log_failure = [](const Status& removed) {
    if (!removed) Log(LogLevel::kError, removed.error().message);
  };
  log_failure(RemoveConsentSince(parts_.settings));
  log_failure(parts_.spool.rejected().Clear());
  log_failure(RemoveFile(SavedStateFile(parts_.settings)));
  rejected_when_ended_ = parts_.counters.rejected;
}

bool ConsentFollower::EvictSome() {
  if (!is_evicting_) return false;
  if (parts_.delivery.EvictWaiting(kEvictStep, "opted out")) {
    evict_due_.SetAfter(std::chrono::nanoseconds(0));
    return true;
  }
  // While it lasts, more may be found.
  if (!parts_.consent.IsWithheld()) is_evicting_ = false;
  return false;
}

void ConsentFollower::ClearLaterRejected() {
  if (parts_.consent.IsWithheld() && parts_.counters.rejected != rejected_when_ended_) End();
}

}  // namespace telem
