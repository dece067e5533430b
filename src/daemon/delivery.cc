#include "daemon/delivery.h"

#include <algorithm>

#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "config/delivery_target.h"
#include "daemon/backoff.h"

namespace telem {
namespace {

// So many different records that fail one after the other mean that it is the server's fault.
constexpr unsigned kFailuresOfServer = 3;

// How long a disk that did not let a file go is left alone.
constexpr std::chrono::seconds kLeftoverPause{10};

// Records that fail alone are set apart; more than that is no exception any more.
constexpr size_t kMaxAlone = 64;

uint32_t RandomWord() {
  uint32_t word;
  FillRandom(reinterpret_cast<unsigned char*>(&word), sizeof word);
  return word;
}

// What an operator has to repair: wrong address, token, proxy. Asking often does not help.
bool IsOperatorsProblem(uint32_t code) {
  return code != 0 && code != 408 && code != 425 && code != 429 && code < 500;
}

}  // namespace

Delivery::Delivery(EventLoop& loop, const Settings& settings, Spool& spool, Journal& journal,
                   RateLimiter& limiter, Consent& consent, Counters& counters, std::string program,
                   std::string boot_id)
    : loop_(loop),
      settings_(settings),
      spool_(spool),
      journal_(journal),
      limiter_(limiter),
      consent_(consent),
      counters_(counters),
      boot_id_(std::move(boot_id)),
      worker_(loop, std::move(program),
              {.on_verdict = [this](const Verdict& verdict) { OnVerdict(verdict); },
               .on_gone = [this] { OnWorkerGone(); }}),
      timer_(loop, [] {}),  // the round that it wakes ends with Pump()
      overdue_(loop, [this] { OnOverdue(); }) {}

bool Delivery::IsOn() const {
  return settings_.record_server_delivery_enabled && !settings_.server.empty();
}

void Delivery::Offer(const WaitingRecord& record, std::string_view header_text,
                     std::string_view payload) {
  const auto headers = SplitHeaders(header_text);
  // Those that wait go first, but for those that were tried and failed.
  if (headers && spool_.Oldest() == nullptr && !spool_.is_scanning() && MayHandOver() &&
      HasRoomInLimit(header_text.size() + payload.size())) {
    HandOver(record, 0, *headers, header_text, payload);
  } else {
    spool_.Append(record);
  }
}

void Delivery::Drop(const WaitingRecord& record, std::string_view why) {
  AddLine(Describe(record), RecordState::kDropped, why);
  // What cannot be removed is found at the next start and delivered: that harms nobody.
  if (const Status removed = spool_.Remove(record); !removed) {
    Log(LogLevel::kError, removed.error().message);
  }
}

Delivery::Progress Delivery::ProgressOf(const RecordId& id) const {
  for (const auto* const gone : {&finished_, &leftover_}) {
    for (const Finished& finished : *gone) {
      if (finished.record.id() == id) return {.standing = Standing::kFinished};
    }
  }
  for (const UnderWay& record : under_way_) {
    if (record.record.id() != id) continue;
    return {.standing = Standing::kUnderWay, .failures = record.failures};
  }
  for (const Alone& alone : alone_) {
    if (alone.record.id() != id) continue;
    return {.standing = Standing::kFailedAlone,
            .failures = alone.failures,
            .next = std::max(alone.not_before, not_before_)};
  }
  return {.standing = Standing::kWaiting, .next = next_attempt()};
}

std::optional<WaitingRecord> Delivery::Find(const RecordId& id) const {
  for (const UnderWay& record : under_way_) {
    if (record.record.id() == id) return record.record;
  }
  for (const Alone& alone : alone_) {
    if (alone.record.id() == id) return alone.record;
  }
  return spool_.Find(id);
}

bool Delivery::Evict(const RecordId& id, std::string_view why) {
  const Standing standing = ProgressOf(id).standing;
  if (standing == Standing::kUnderWay) {
    worker_.Kill();
    LetUnderWayWait();
  }
  std::optional<WaitingRecord> record;
  if (standing == Standing::kFailedAlone) {
    record = Find(id);
    std::erase_if(alone_, [&](const Alone& alone) { return alone.record.id() == id; });
  } else {
    record = spool_.Take(id);
  }
  if (!record) return false;
  Finish(Describe(*record), RecordState::kEvicted, why);
  return true;
}

void Delivery::Pump() {
  ExpireOldest();
  size_t looked = 0;
  while (looked < kMaxPass && HandOverNext() == Step::kDone) ++looked;
  wants_another_pass_ = looked == kMaxPass;
  // While telem-deliver is busy, several records go in one write: it wakes up less often, and its
  // next verdict brings us here again.
  const bool is_busy = under_way_.size() > worker_.not_flushed();
  if (!is_busy || worker_.not_flushed() >= kMaxUnderWay / 2) worker_.Flush();
  SetTimer();
}

bool Delivery::MayHandOver() {
  if (!IsOn() || loop_.clock().Monotonic() < std::max(not_before_, limited_until_)) return false;
  // After failures one record finds out whether the server is back.
  const size_t limit = failures_ > 0 ? 1 : kMaxUnderWay;
  return under_way_.size() < limit && worker_.HasRoom() && consent_.IsGiven();
}

// Hands over one record. kStop when there is none, or none may go now.
Delivery::Step Delivery::HandOverNext() {
  if (!MayHandOver()) return Step::kStop;
  const MonotonicTime now = loop_.clock().Monotonic();
  Alone next{};
  const auto due = std::find_if(alone_.begin(), alone_.end(),
                                [&](const Alone& alone) { return alone.not_before <= now; });
  if (due != alone_.end()) {
    next = *due;
    alone_.erase(due);
  } else if (const auto oldest = spool_.TakeOldest()) {
    next.record = *oldest;
  } else {
    return Step::kStop;
  }
  if (IsExpired(next.record.id())) {
    Finish(Describe(next.record), RecordState::kExpired, "");
    return Step::kDone;
  }
  const auto bytes = spool_.Read(next.record);
  if (!bytes) return PutAside(next.record, bytes.error());
  const auto parts = ParseSpoolFile(*bytes, next.record.name.payload_size);
  if (!parts) return PutAside(next.record, parts.error());
  if (!HasRoomInLimit(parts->header_text.size() + parts->payload.size())) {
    spool_.PutBack(next.record);
    return Step::kStop;
  }
  HandOver(next.record, next.failures, parts->headers, parts->header_text, parts->payload);
  return Step::kDone;
}

// A file that cannot be delivered: gone, damaged, or unreadable for now.
Delivery::Step Delivery::PutAside(const WaitingRecord& record, const Error& error) {
  UnderWay unknown;
  unknown.record = record;
  if (error.code == ErrorCode::kNotFound) {
    Finish(unknown, RecordState::kEvicted, "its file is gone");
    return Step::kDone;
  }
  if (error.code == ErrorCode::kInvalid || error.code == ErrorCode::kTooLarge) {
    Log(LogLevel::kWarning, "spool file " + record.name.ToText() + ": " + error.message +
                                ", moving it to the rejected ones");
    Finish(unknown, RecordState::kRejected, error.message);
    return Step::kDone;
  }
  Log(LogLevel::kError, error.message + ", keeping it in the spool");
  return SetApart(record, 1) ? Step::kDone : Step::kStop;
}

// Lets a record that fails alone wait apart from the others. Returns false when there are too many
// of them to be exceptions; then it joins the others again.
bool Delivery::SetApart(const WaitingRecord& record, unsigned failures) {
  if (alone_.size() == kMaxAlone) {
    spool_.PutBack(record);
    return false;
  }
  alone_.push_back({record, failures, loop_.clock().Monotonic() + NextDelay(failures)});
  return true;
}

bool Delivery::HasRoomInLimit(uint64_t bytes) {
  RateLimiter::Promised under_way{.records = under_way_.size()};
  for (const UnderWay& record : under_way_) under_way.bytes += record.bytes;
  const MonotonicTime now = loop_.clock().Monotonic();
  if (limiter_.HasRoom(under_way, bytes, now)) return true;
  limited_until_ = limiter_.NextRoom(now);
  return false;
}

void Delivery::HandOver(const WaitingRecord& record, unsigned failures, const HeaderViews& headers,
                        std::string_view header_text, std::string_view payload) {
  if (!worker_.IsRunning()) {
    target_ = DeliveryTargetOf(settings_);
    if (const Status started = worker_.Start(target_); !started) {
      spool_.PutBack(record);
      return Stop(started.error().message, NextDelay(++failures_));
    }
  }
  worker_.HandOver(record.id(), header_text, payload);
  under_way_.push_back({.record = record,
                        .classification = std::string(headers[Header::kClassification]),
                        .event_id = std::string(headers[Header::kEventId]),
                        .severity = static_cast<unsigned>(headers[Header::kSeverity].front() - '0'),
                        .bytes = header_text.size() + payload.size(),
                        .failures = failures,
                        .since = loop_.clock().Monotonic()});
  if (!overdue_.IsSet()) overdue_.SetAfter(kVerdictTime);
}

bool Delivery::IsExpired(const RecordId& id) const {
  return loop_.clock().Now() - id.Time() > std::chrono::minutes(settings_.record_expiry);
}

// Also while nothing may be handed over, so that an outage does not fill the disk with what nobody
// will ever want.
void Delivery::ExpireOldest() {
  for (size_t i = 0; i < kMaxPass; ++i) {
    const WaitingRecord* const oldest = spool_.Oldest();
    if (oldest == nullptr || !IsExpired(oldest->id())) return;
    Finish(Describe(*spool_.TakeOldest()), RecordState::kExpired, "");
  }
}

Delivery::UnderWay Delivery::Describe(const WaitingRecord& record) const {
  UnderWay described;
  described.record = record;
  const auto bytes = spool_.Read(record);
  if (!bytes) return described;
  const auto parts = ParseSpoolFile(*bytes, record.name.payload_size);
  if (!parts) return described;
  described.classification = parts->headers[Header::kClassification];
  described.event_id = parts->headers[Header::kEventId];
  described.severity = static_cast<unsigned>(parts->headers[Header::kSeverity].front() - '0');
  described.bytes = parts->header_text.size() + parts->payload.size();
  return described;
}

void Delivery::Finish(const UnderWay& record, RecordState state, std::string_view detail) {
  AddLine(record, state, detail);
  finished_.push_back({record.record, state, std::string(detail)});
}

void Delivery::AddLine(const UnderWay& record, RecordState state, std::string_view detail) {
  const std::string id = record.record.id().ToHex();
  const auto now = std::chrono::floor<std::chrono::seconds>(loop_.clock().Now());
  journal_.Add({.record_id = id,
                .time = static_cast<uint64_t>(now.time_since_epoch().count()),
                .classification = record.classification,
                .event_id = record.event_id,
                .boot_id = boot_id_,
                .severity = record.severity,
                .bytes = record.bytes,
                .state = state,
                .detail = detail,
                .uid = record.record.name.uid});
}

void Delivery::RemoveFinished() {
  for (const Finished& finished : finished_) {
    switch (finished.state) {
      case RecordState::kDelivered:
        ++counters_.delivered;
        break;
      case RecordState::kRejected:
        ++counters_.rejected;
        break;
      case RecordState::kExpired:
        ++counters_.expired;
        break;
      default:
        ++counters_.evicted;
        break;
    }
    if (!GiveUpFile(finished)) leftover_.push_back(finished);
  }
  finished_.clear();
  const MonotonicTime now = loop_.clock().Monotonic();
  if (!leftover_.empty() && leftover_due_ <= now) {
    std::erase_if(leftover_, [this](const Finished& finished) { return GiveUpFile(finished); });
    leftover_due_ = MonotonicTime::max();
  }
  if (!leftover_.empty() && leftover_due_ == MonotonicTime::max()) {
    leftover_due_ = now + kLeftoverPause;
    timer_.SetAt(std::min(timer_.when(), leftover_due_));
  }
}

// Returns false when the file is still there.
bool Delivery::GiveUpFile(const Finished& finished) {
  const Status gone = finished.state == RecordState::kRejected
                          ? spool_.Reject(finished.record, finished.detail)
                          : spool_.Remove(finished.record);
  if (!gone && leftover_.empty()) {
    Log(LogLevel::kError, gone.error().message + "; trying again, and until then it takes room");
  }
  return gone.has_value();
}

void Delivery::OnVerdict(const Verdict& verdict) {
  const auto at = std::find_if(under_way_.begin(), under_way_.end(), [&](const UnderWay& record) {
    return record.record.id() == verdict.id;
  });
  if (at == under_way_.end()) return;
  const UnderWay record = std::move(*at);
  under_way_.erase(at);
  if (under_way_.empty()) {
    overdue_.Clear();
  } else {
    overdue_.SetAt(under_way_.front().since + kVerdictTime);
  }
  switch (verdict.outcome) {
    case Outcome::kAccepted:
      return OnAccepted(record);
    case Outcome::kRefused: {
      std::string detail;
      AppendUnsigned(detail, verdict.code);
      detail += ' ';
      detail += verdict.text;
      // Once for a reason, not once for each record that it concerns.
      if (!last_error_ || last_error_->text != detail) {
        Log(LogLevel::kWarning, "the server refused a record of " + record.classification + ": " +
                                    detail + "; it is among the rejected ones");
      }
      NoteError(detail);
      first_failures_ = 0;
      return Finish(record, RecordState::kRejected, detail);
    }
    case Outcome::kLater:
      return OnLater(record, verdict);
  }
}

void Delivery::OnAccepted(const UnderWay& record) {
  if (failures_ > 0) Log(LogLevel::kNotice, "delivering again to " + settings_.server);
  failures_ = 0;
  first_failures_ = 0;
  workers_lost_ = 0;
  not_before_ = {};
  last_success_ = loop_.clock().Now();
  limiter_.Count(record.bytes, loop_.clock().Monotonic());
  Finish(record, RecordState::kDelivered, "");
}

void Delivery::OnLater(const UnderWay& record, const Verdict& verdict) {
  std::string why;
  if (verdict.code != 0) {
    AppendUnsigned(why, verdict.code);
    why += ' ';
  }
  why += verdict.text;
  if (record.failures == 0) ++first_failures_;
  const bool is_servers = verdict.code == 0 || IsOperatorsProblem(verdict.code) ||
                          verdict.retry_after > 0 || first_failures_ >= kFailuresOfServer ||
                          failures_ > 0;
  if (!is_servers && SetApart(record.record, record.failures + 1)) return NoteError(why);
  if (is_servers) spool_.PutBack(record.record);
  for (const Alone& alone : alone_) spool_.PutBack(alone.record);
  alone_.clear();
  // The others that were under way fail for the same reason, and count once with it.
  if (loop_.clock().Monotonic() < not_before_) return;
  std::chrono::milliseconds delay = NextDelay(++failures_);
  if (IsOperatorsProblem(verdict.code)) delay = std::chrono::seconds(settings_.spool_process_time);
  if (verdict.retry_after > 0) delay = std::chrono::seconds(verdict.retry_after);
  Stop(why, delay);
}

void Delivery::OnWorkerGone() {
  if (under_way_.empty()) return;  // it ended because there was nothing to do
  LetUnderWayWait();
  // It may have been about to end when it got them, so the first time costs nothing.
  if (++workers_lost_ > 1) {
    Stop("telem-deliver ended with records under way", NextDelay(++failures_));
  }
}

void Delivery::OnOverdue() {
  worker_.Kill();
  LetUnderWayWait();
  Stop("telem-deliver gave no verdict within 30 s and was ended", NextDelay(++failures_));
}

void Delivery::LetUnderWayWait() {
  for (const UnderWay& record : under_way_) spool_.PutBack(record.record);
  under_way_.clear();
  overdue_.Clear();
}

void Delivery::Stop(std::string_view why, std::chrono::milliseconds delay) {
  not_before_ = loop_.clock().Monotonic() + delay;
  if (failures_ == 1) {
    Log(LogLevel::kWarning, "delivery to " + settings_.server + " failed: " + std::string(why) +
                                "; records wait in the spool until it works again");
  }
  NoteError(std::string(why));
}

std::chrono::milliseconds Delivery::NextDelay(unsigned failures) const {
  return BackoffDelay(failures, std::chrono::seconds(settings_.spool_process_time), RandomWord());
}

void Delivery::NoteError(std::string text) {
  last_error_ = Trouble{.text = std::move(text), .time = loop_.clock().Now()};
}

void Delivery::TryNow() {
  not_before_ = {};
  limited_until_ = {};
  if (!leftover_.empty()) leftover_due_ = {};
  for (Alone& alone : alone_) alone.not_before = {};
}

void Delivery::Restart() {
  if (DeliveryTargetOf(settings_) != target_ || !consent_.IsGiven()) Cut();
  failures_ = 0;
  first_failures_ = 0;
  TryNow();
}

void Delivery::Cut() {
  worker_.Kill();
  LetUnderWayWait();
}

bool Delivery::Evict(WallTime end, size_t count, std::string_view why) {
  for (const Alone& alone : alone_) spool_.PutBack(alone.record);
  alone_.clear();
  for (size_t i = 0; i < count; ++i) {
    const WaitingRecord* const oldest = spool_.Oldest();
    if (oldest == nullptr || oldest->id().Time() >= end) return false;
    UnderWay evicted;
    evicted.record = *spool_.TakeOldest();
    Finish(evicted, RecordState::kEvicted, why);
  }
  return true;
}

std::optional<MonotonicTime> Delivery::next_attempt() const {
  if (!IsOn()) return std::nullopt;
  auto earliest = MonotonicTime::max();
  for (const Alone& alone : alone_) earliest = std::min(earliest, alone.not_before);
  if (spool_.Oldest() != nullptr)
    earliest = std::min(earliest, std::max(not_before_, limited_until_));
  if (earliest == MonotonicTime::max()) return std::nullopt;
  return std::max(earliest, not_before_);
}

void Delivery::SetTimer() {
  const MonotonicTime now = loop_.clock().Monotonic();
  timer_.Clear();
  if (wants_another_pass_) return timer_.SetAt(now);
  auto wake = leftover_due_;
  // While records are under way their verdicts drive what follows.
  const auto attempt = next_attempt();
  if (attempt && (*attempt > now || under_way_.empty())) wake = *attempt;
  if (const WaitingRecord* const oldest = spool_.Oldest()) {
    const auto expires = oldest->id().Time() + std::chrono::minutes(settings_.record_expiry);
    // By the wall clock, which may be wrong: never more often than once a minute.
    const auto left =
        std::max<std::chrono::nanoseconds>(expires - loop_.clock().Now(), std::chrono::minutes(1));
    wake = std::min(wake, now + left);
  }
  if (wake == MonotonicTime::max()) return;
  // Not due yet means that something else is waited for (consent): its end is a signal's.
  if (wake <= now) return;
  timer_.SetAt(wake);
}

}  // namespace telem
