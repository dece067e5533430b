#include "probes/journal/journal_probe.h"

#include <algorithm>
#include <utility>

#include "config/consent.h"
#include "probes/common/privileges.h"

namespace telem {
namespace {

using std::chrono::seconds;

constexpr uint32_t kSeverity = 2;

// telemd is down, or full: it is seldom back sooner, and a connection a minute costs nothing.
constexpr seconds kRetry{60};

// Between two looks at whether the user has opted out, while there is much to read.
constexpr int kEntriesARound = 64;

// Each folder has a place of its own; `!` as in core(5).
std::string StatePath(const Settings& settings, const std::string& directory) {
  std::string path = settings.cache_dir + "/journal-position";
  for (const char c : directory) path += c == '/' ? '!' : c;
  return path;
}

}  // namespace

ProbeRecord MakeJournalRecord(std::string payload, std::string event_id) {
  return {.classification = "journal/error",
          .severity = kSeverity,
          .payload = std::move(payload),
          .event_id = std::move(event_id)};
}

JournalProbe::JournalProbe(const RecordOutlet& outlet, const Settings& settings,
                           JournalProbeOptions options, Complain complain)
    : outlet_(outlet),
      settings_(settings),
      options_(std::move(options)),
      complain_(std::move(complain)),
      next_look_(loop_, [this] { Advance(); }),
      retry_(loop_, [this] { Advance(); }) {}

Status JournalProbe::Run() {
  TELEM_CHECK(loop_.Open());
  every_error_ = !HasPrivacyFilters(settings_);
  TELEM_TRY(journal_, SystemJournal::Open(options_.directory, every_error_));
  // Opening it is all that root may be needed for; files that come later are its group's to read.
  TELEM_CHECK(GiveUpPrivileges("systemd-journal"));
  if (options_.post) {
    outlet_.EnsureConsentStart();
    TELEM_TRY(file_, LockedJournalState::Open(StatePath(settings_, options_.directory)));
    state_ = file_->state;
    consent_.Look();
    loop_.SetAfterRound([this] {
      consent_.StartRound();
      if (!consent_.IsGiven()) End({});
    });
  }
  TELEM_CHECK(options_.tail ? journal_->StartAt(clock_.Now())
                            : journal_->StartBehind(state_.cursor));
  if (!options_.post && !options_.tail) {
    while (!at_end_ && !loop_.is_stopped()) {
      TELEM_CHECK(ReadOn());
    }
    return status_;
  }
  TELEM_CHECK(loop_.Watch(journal_->fd(), journal_->events(), this));
  Advance();
  if (!loop_.is_stopped()) TELEM_CHECK(loop_.Run());
  loop_.Forget(journal_->fd(), this);
  return status_;
}

void JournalProbe::OnEvents(uint32_t /*events*/) {
  if (Status caught_up = journal_->CatchUp(); !caught_up) return End(std::move(caught_up));
  Advance();
}

void JournalProbe::Advance() {
  if (retry_.IsSet() || loop_.is_stopped()) return;
  auto outcome = ReadOn();
  if (outcome && *outcome == Outcome::kDone && at_end_) outcome = ReportDueCounts();
  if (!outcome) return End(std::unexpected(std::move(outcome.error())));
  switch (*outcome) {
    case Outcome::kDone:
      PlanNextLook();
      break;
    case Outcome::kTryLater:
      next_look_.Clear();
      retry_.SetAfter(kRetry);
      break;
    case Outcome::kOptedOut:
      End({});
      break;
  }
}

// A round of entries; `at_end_` says whether there are more.
Result<JournalProbe::Outcome> JournalProbe::ReadOn() {
  at_end_ = false;
  for (int i = 0; i < kEntriesARound; ++i) {
    if (!waiting_) {
      TELEM_TRY(waiting_, journal_->Next());
    }
    if (!waiting_) {
      at_end_ = true;
      break;
    }
    if (const Outcome outcome = Report(*waiting_); outcome != Outcome::kDone) return outcome;
    state_.cursor = waiting_->cursor;
    waiting_.reset();
  }
  return Outcome::kDone;
}

JournalProbe::Outcome JournalProbe::Report(const JournalEntry& entry) {
  auto finding = FindInEntry(entry, every_error_);
  if (!finding) return Outcome::kDone;
  const auto when = std::chrono::floor<seconds>(entry.realtime);
  if (outlet_.IsBeforeConsent(std::chrono::sys_seconds(when))) return Outcome::kDone;
  FailureCounts counts = state_.counts;
  uint64_t held = 0;
  const auto telling = counts.Judge(finding->unit, finding->failure, clock_.Now(), held);
  if (telling == FailureCounts::Telling::kInFull) {
    const Outcome outcome =
        Hand(WithCount(std::move(finding->payload), held), std::move(finding->event_id));
    if (outcome != Outcome::kDone) return outcome;
  }
  state_.counts = std::move(counts);
  if (telling == FailureCounts::Telling::kInFull) {
    state_.cursor = entry.cursor;
    KeepState();
  }
  return Outcome::kDone;
}

JournalProbe::Outcome JournalProbe::ReportDueCounts() {
  FailureCounts counts = state_.counts;
  // One at a time: what was told is known to be told, whatever becomes of the next.
  while (const auto due = counts.TakeDue(clock_.Now())) {
    const Outcome outcome = Hand(WithCount(PayloadOfCount(due->unit), due->count),
                                 EventIdOfCount(due->unit, due->count, due->hour));
    if (outcome != Outcome::kDone) return outcome;
    state_.counts = counts;
    KeepState();
  }
  return Outcome::kDone;
}

JournalProbe::Outcome JournalProbe::Hand(std::string payload, std::string event_id) {
  // Asked of the files: what lies between may be long.
  if (!outlet_.IsWanted()) return Outcome::kOptedOut;
  const Status handed =
      outlet_.HandOnce(MakeJournalRecord(std::move(payload), std::move(event_id)));
  if (handed) return Outcome::kDone;
  const Error& error = handed.error();
  if (!options_.post) {
    End(handed);
    return Outcome::kTryLater;
  }
  if (error.code == ErrorCode::kInvalid || error.code == ErrorCode::kTooLarge) {
    complain_(error.message + "; passing over it");
    return Outcome::kDone;
  }
  complain_(error.message + "; trying again in a minute");
  return Outcome::kTryLater;
}

// When this fails the probe goes on, and reads some entries again after a restart.
void JournalProbe::KeepState() {
  if (!file_) return;
  file_->state = state_;
  if (const Status saved = file_->Save(); !saved) complain_(saved.error().message);
}

void JournalProbe::PlanNextLook() {
  next_look_.Clear();
  if (!at_end_) return next_look_.SetAfter(seconds(0));
  if (const auto due = state_.counts.NextDue()) {
    next_look_.SetAfter(std::max<std::chrono::nanoseconds>(*due - clock_.Now(), seconds(1)));
  }
  if (const auto look = journal_->NextLook(); look && *look < next_look_.when()) {
    next_look_.SetAt(*look);
  }
}

void JournalProbe::End(Status status) {
  if (status_) status_ = std::move(status);
  loop_.Stop();
}

}  // namespace telem
