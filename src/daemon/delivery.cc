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

// So many kinds of failure are told; a server that thinks of more would only fill the log.
constexpr size_t kMaxTold = 16;

uint32_t RandomWord() {
  uint32_t word;
  FillRandom(reinterpret_cast<unsigned char*>(&word), sizeof word);
  return word;
}

// As far as the log is concerned: what the server says beside its code, and why no connection came
// about, may be other words each time.
std::string KindOf(const Verdict& verdict) {
  if (verdict.code == 0) return "no answer";
  std::string kind;
  AppendUnsigned(kind, verdict.code);
  return kind;
}

// What an operator has to repair: wrong address, token, proxy. Asking often does not help.
bool IsOperatorsProblem(uint32_t code) {
  return code != 0 && code != 408 && code != 425 && code != 429 && code < 500;
}

}  // namespace

Delivery::Delivery(EventLoop& loop, const Settings& settings, Spool& spool, Finisher& finisher,
                   RateLimiter& limiter, ConsentWatch& consent, DeliveryWorker::Way way)
    : loop_(loop),
      settings_(settings),
      spool_(spool),
      finisher_(finisher),
      limiter_(limiter),
      consent_(consent),
      worker_(loop, std::move(way),
              {.on_verdict = [this](const Verdict& verdict) { OnVerdict(verdict); },
               .on_gone = [this] { OnWorkerGone(); }}),
      timer_(loop, [] {}),  // the round that it wakes ends with Pump()
      overdue_(loop, [this] { OnOverdue(); }) {}

bool Delivery::IsOn() const {
  return settings_.record_server_delivery_enabled && !settings_.server.empty();
}

void Delivery::Offer(const WaitingRecord& record, std::string_view header_text,
                     std::string_view payload) {
  const MonotonicTime now = loop_.clock().Monotonic();
  // Those that wait go first, but for those that were tried and failed, or have had their share.
  if (spool_.HasReady(now) || spool_.is_scanning() || !MayHandOver()) return spool_.Append(record);
  // It must not overtake those of its own uid either.
  if (spool_.IsHeldBack(record, now)) return spool_.Append(record);
  const auto headers = SplitHeaders(header_text);
  if (!headers) return spool_.Append(record);
  if (const auto limited = FindLimit(record, now)) return LetWait(record, *limited);
  HandOver(record, 0, *headers, header_text, payload);
}

Delivery::Progress Delivery::ProgressOf(const RecordId& id) const {
  if (finisher_.IsFinished(id)) return {.standing = Standing::kFinished};
  for (const UnderWay& record : under_way_) {
    if (record.id() != id) continue;
    return {.standing = Standing::kUnderWay, .failures = record.failures};
  }
  if (const auto failed = spool_.FindDeferred(id)) {
    return {.standing = Standing::kFailed,
            .failures = failed->failures,
            .next = std::max(failed->not_before, not_before_)};
  }
  return {.standing = Standing::kWaiting, .next = next_attempt()};
}

std::optional<WaitingRecord> Delivery::Find(const RecordId& id) const {
  for (const UnderWay& record : under_way_) {
    if (record.id() == id) return record.waiting();
  }
  return spool_.Find(id);
}

bool Delivery::Evict(const RecordId& id, std::string_view why) {
  if (ProgressOf(id).standing == Standing::kUnderWay) Cut();
  const auto record = spool_.Take(id);
  if (!record) return false;
  finisher_.Finish(*record, RecordState::kEvicted, why);
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
  if (!is_busy || worker_.not_flushed() >= kMaxUnderWay / 2) Send();
  SetTimer();
}

// What was handed over leaves this process only here: nothing takes time between this question and
// the write, so it is asked once for all of them.
void Delivery::Send() {
  if (worker_.not_flushed() > 0 && !consent_.IsStillGiven()) {
    Cut();
    wants_another_pass_ = true;  // a round in which the others hear of it
    return;
  }
  worker_.Flush();
}

bool Delivery::MayHandOver() {
  if (!IsOn() || loop_.clock().Monotonic() < std::max(not_before_, limited_until_)) return false;
  // After failures one record finds out whether the server is back.
  const size_t limit = failures_ > 0 ? 1 : kMaxUnderWay;
  return under_way_.size() < limit && worker_.HasRoom() && consent_.IsGiven();
}

// The record whose turn it is, out of those that wait.
std::optional<Delivery::Deferred> Delivery::TakeNext(MonotonicTime now) {
  // While the server is in trouble, one that has not failed yet finds out best whether that is
  // over.
  if (failures_ == 0) {
    if (auto due = spool_.TakeDue(now)) return due;
  }
  if (const auto oldest = spool_.TakeReady(now)) return Deferred{*oldest, 0, {}};
  return spool_.TakeDue(now);
}

// Hands over one record. kStop when there is none, or none may go now.
Delivery::Step Delivery::HandOverNext() {
  if (!MayHandOver()) return Step::kStop;
  const MonotonicTime now = loop_.clock().Monotonic();
  const auto next = TakeNext(now);
  if (!next) return Step::kStop;
  const WaitingRecord& record = next->record;
  if (IsExpired(record)) {
    finisher_.Finish(record, RecordState::kExpired, "");
    return Step::kDone;
  }
  if (const auto limited = FindLimit(record, now)) {
    if (next->failures == 0) {
      LetWait(record, *limited);
    } else {
      spool_.Defer({record, next->failures, limited->is_for_all ? now : limited->until});
    }
    return limited->is_for_all ? Step::kStop : Step::kDone;
  }
  const auto bytes = spool_.Read(record);
  if (!bytes) {
    PutAside(*next, bytes.error());
    return Step::kDone;
  }
  const auto parts = ParseSpoolFile(*bytes, record.name.payload_size);
  if (!parts) {
    PutAside(*next, parts.error());
    return Step::kDone;
  }
  HandOver(record, next->failures, parts->headers, parts->header_text, parts->payload);
  return Step::kDone;
}

// A file that cannot be delivered: gone, damaged, or unreadable for now.
void Delivery::PutAside(const Deferred& next, const Error& error) {
  const WaitingRecord& record = next.record;
  const DescribedRecord unknown = Describe(record, "");
  if (error.code == ErrorCode::kNotFound) {
    return finisher_.Finish(unknown, RecordState::kEvicted, "its file is gone");
  }
  if (error.code == ErrorCode::kInvalid || error.code == ErrorCode::kTooLarge) {
    Log(LogLevel::kWarning, "spool file " + record.name.ToText() + ": " + error.message +
                                ", moving it to the rejected ones");
    return finisher_.Finish(unknown, RecordState::kRejected, error.message);
  }
  Log(LogLevel::kError, error.message + ", keeping it in the spool");
  SetApart(record, next.failures + 1);
}

// Lets a record that failed wait behind the others; returns for how long.
std::chrono::milliseconds Delivery::SetApart(const WaitingRecord& record, unsigned failures) {
  const std::chrono::milliseconds delay = NextDelay(failures);
  spool_.Defer({record, failures, loop_.clock().Monotonic() + delay});
  return delay;
}

std::optional<Delivery::Limited> Delivery::FindLimit(const WaitingRecord& record,
                                                     MonotonicTime now) {
  const uid_t uid = record.name.uid;
  RateLimiter::Promised of_all;
  RateLimiter::Promised of_uid;
  for (const UnderWay& other : under_way_) {
    ++of_all.records;
    of_all.bytes += other.described.bytes;
    if (other.waiting().name.uid != uid) continue;
    ++of_uid.records;
    of_uid.bytes += other.described.bytes;
  }
  if (!limiter_.HasRoom(of_all, record.bytes(), now)) {
    limited_until_ = limiter_.NextRoom(of_all, record.bytes(), now);
    return Limited{.is_for_all = true, .until = limited_until_};
  }
  if (!limiter_.HasRoomFor(uid, of_uid, record.bytes(), now)) {
    // Where only what is under way is in the way, its verdicts come sooner and tell.
    const MonotonicTime until = std::max(limiter_.NextRoomFor(uid, of_uid, record.bytes(), now),
                                         now + std::chrono::seconds(1));
    return Limited{.is_for_all = false, .until = until};
  }
  return std::nullopt;
}

void Delivery::LetWait(const WaitingRecord& record, const Limited& limited) {
  if (!limited.is_for_all) spool_.HoldBack(record, limited.until);
  spool_.Append(record);
}

void Delivery::HandOver(const WaitingRecord& record, unsigned failures, const HeaderViews& headers,
                        std::string_view header_text, std::string_view payload) {
  if (!worker_.IsRunning()) {
    target_ = DeliveryTargetOf(settings_);
    if (const Status started = worker_.Start(target_); !started) {
      spool_.PutBack(record);
      const std::string why = started.error().message;
      return Stop(why, why, NextDelay(++failures_));
    }
  }
  worker_.HandOver(record.id(), header_text, payload);
  WaitingRecord known = record;
  known.SetSeverity(SeverityOf(headers));
  under_way_.push_back(
      {.described = {.waiting = known,
                     .classification = std::string(headers[Header::kClassification]),
                     .event_id = std::string(headers[Header::kEventId]),
                     .severity = SeverityOf(headers),
                     .bytes = header_text.size() + payload.size()},
       .failures = failures,
       .epoch = epoch_,
       .since = loop_.clock().Monotonic()});
  if (!overdue_.IsSet()) overdue_.SetAfter(kVerdictTime);
}

bool Delivery::IsExpired(const RecordId& id) const {
  return loop_.clock().Now() - id.Time() > std::chrono::minutes(settings_.record_expiry);
}

bool Delivery::IsExpired(const WaitingRecord& record) const {
  return WaitingSeconds(loop_.clock().Monotonic()) - int64_t{record.since} >
         settings_.record_expiry * 60;
}

// Also while nothing may be handed over, so that an outage does not fill the disk with what nobody
// will ever want.
void Delivery::ExpireOldest() {
  for (size_t i = 0; i < kMaxPass; ++i) {
    const WaitingRecord* const oldest = spool_.Oldest();
    if (oldest == nullptr || !IsExpired(*oldest)) break;
    finisher_.Finish(*spool_.TakeOldest(), RecordState::kExpired, "");
  }
  // Those that failed do not lie in the order of their age, so all are looked at, once a minute.
  const MonotonicTime now = loop_.clock().Monotonic();
  if (!spool_.NextDue() || now < deferred_expire_) return;
  deferred_expire_ = now + std::chrono::minutes(1);
  const int64_t oldest = WaitingSeconds(now) - settings_.record_expiry * 60;
  for (const WaitingRecord& record :
       spool_.TakeDeferredBefore(static_cast<int32_t>(std::max<int64_t>(oldest, INT32_MIN)))) {
    finisher_.Finish(record, RecordState::kExpired, "");
  }
}

void Delivery::OnVerdict(const Verdict& verdict) {
  const auto at = std::find_if(under_way_.begin(), under_way_.end(),
                               [&](const UnderWay& record) { return record.id() == verdict.id; });
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
      return OnAccepted(record, verdict.text);
    case Outcome::kRefused: {
      std::string detail;
      AppendUnsigned(detail, verdict.code);
      detail += ' ';
      detail += verdict.text;
      // Once for a reason, not once for each record that it concerns.
      if (!last_error_ || last_error_->text != detail) {
        Log(LogLevel::kWarning, "the server refused a record of " +
                                    record.described.classification + ": " + detail +
                                    "; it is among the rejected ones");
      }
      NoteError(detail);
      first_failures_ = 0;
      return finisher_.Finish(record.described, RecordState::kRejected, detail);
    }
    case Outcome::kLater:
      return OnLater(record, verdict);
  }
}

void Delivery::OnAccepted(const UnderWay& record, std::string_view note) {
  // One that was on its way before the last failure does not tell whether that is over, but that an
  // answer for the operator concerned its own record only.
  if (record.epoch == epoch_ || was_operators_) {
    if (failures_ > 0) {
      Log(LogLevel::kNotice, "delivering again to " + settings_.server);
      told_.clear();
    }
    failures_ = 0;
    not_before_ = {};
    has_delivered_ = true;
  }
  first_failures_ = 0;
  workers_lost_ = 0;
  last_success_ = loop_.clock().Now();
  limiter_.Count(record.waiting().name.uid, record.described.bytes, loop_.clock().Monotonic());
  if (!note.empty()) {
    // Once for a note, not once for each record of the request that it is about.
    if (!last_error_ || last_error_->text != note) {
      Log(LogLevel::kWarning, "the server took records with a note: " + std::string(note));
    }
    NoteError(std::string(note));
  }
  finisher_.Finish(record.described, RecordState::kDelivered, note);
}

void Delivery::OnLater(const UnderWay& record, const Verdict& verdict) {
  std::string why;
  if (verdict.code != 0) {
    AppendUnsigned(why, verdict.code);
    why += ' ';
  }
  why += verdict.text;
  if (record.failures == 0) ++first_failures_;
  // Where a server takes others, something on the way to it may dislike the words of this one: a
  // firewall's 403 must not stop everything each time that it is tried.
  const bool is_operators = IsOperatorsProblem(verdict.code);
  const bool is_servers = verdict.code == 0 || (is_operators && !has_delivered_) ||
                          verdict.retry_after > 0 || first_failures_ >= kFailuresOfServer ||
                          failures_ > 0;
  const std::chrono::milliseconds own_delay = SetApart(record.waiting(), record.failures + 1);
  limited_until_ = {};  // it does not count as promised any more
  if (!is_servers) {
    if (is_operators && IsNews(KindOf(verdict) + " of one")) {
      Log(LogLevel::kWarning, "the server did not take a record of " +
                                  record.described.classification + ", but others: " + why +
                                  "; it is tried again");
    }
    return NoteError(why);
  }
  const std::chrono::milliseconds asked = std::chrono::seconds(verdict.retry_after);
  // The others that were under way fail for the same reason, and count once with it.
  if (record.epoch != epoch_) {
    not_before_ = std::max(not_before_, loop_.clock().Monotonic() + asked);
    return;
  }
  ++failures_;
  // One delay where it is the same failure; the longer one of two would be no full jitter.
  std::chrono::milliseconds delay =
      failures_ == record.failures + 1 ? own_delay : NextDelay(failures_);
  if (is_operators) delay = std::chrono::seconds(settings_.spool_process_time);
  if (verdict.retry_after > 0) delay = asked;
  Stop(KindOf(verdict), why, delay);
  was_operators_ = is_operators && verdict.retry_after == 0;
}

void Delivery::OnWorkerGone() {
  if (under_way_.empty()) return;  // it ended because there was nothing to do
  // It may have been about to end when it got them, so the first time costs nothing.
  if (++workers_lost_ == 1) return LetUnderWayWait();
  SetUnderWayApart();
  constexpr std::string_view kWhy = "telem-deliver ended with records under way";
  Stop(kWhy, kWhy, NextDelay(++failures_));
}

void Delivery::OnOverdue() {
  worker_.Kill();
  SetUnderWayApart();
  constexpr std::string_view kWhy = "telem-deliver gave no verdict within 30 s and was ended";
  Stop(kWhy, kWhy, NextDelay(++failures_));
}

void Delivery::LetUnderWayWait() {
  for (const UnderWay& record : under_way_) spool_.PutBack(record.waiting());
  under_way_.clear();
  limited_until_ = {};
  overdue_.Clear();
}

// One of them did it, and nobody knows which.
void Delivery::SetUnderWayApart() {
  for (const UnderWay& record : under_way_) SetApart(record.waiting(), record.failures + 1);
  under_way_.clear();
  limited_until_ = {};
  overdue_.Clear();
}

void Delivery::Stop(std::string_view kind, std::string_view why, std::chrono::milliseconds delay) {
  ++epoch_;
  has_delivered_ = false;
  was_operators_ = false;
  // Later than that where the server asked for it.
  not_before_ = std::max(not_before_, loop_.clock().Monotonic() + delay);
  if (IsNews(kind)) {
    Log(LogLevel::kWarning, "delivery to " + settings_.server + " failed: " + std::string(why) +
                                "; records wait in the spool until it works again");
  }
  NoteError(std::string(why));
}

// Whether this kind of failure was not told yet since delivery last began to work again.
bool Delivery::IsNews(std::string_view kind) {
  return told_.size() < kMaxTold && told_.emplace(kind).second;
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
  finisher_.RetryLeftover();
  spool_.ReleaseAll();
}

void Delivery::Restart() {
  if (DeliveryTargetOf(settings_) != target_ || !consent_.IsGiven()) Cut();
  failures_ = 0;
  first_failures_ = 0;
  has_delivered_ = false;
  told_.clear();
  TryNow();
}

void Delivery::Cut() {
  worker_.Kill();
  LetUnderWayWait();
}

bool Delivery::EvictWaiting(size_t count, std::string_view why) {
  spool_.ForgetFailures();
  for (size_t i = 0; i < count; ++i) {
    const auto oldest = spool_.TakeOldest();
    if (!oldest) return false;
    finisher_.Finish(*oldest, RecordState::kEvicted, why);
  }
  return true;
}

void Delivery::Restamp() const {
  // What cannot be stamped keeps the time that it has, which is as good as no clock set.
  const auto restamp = [this](const WaitingRecord& record) { (void)spool_.Restamp(record); };
  spool_.ForEachWaiting(restamp);
  for (const UnderWay& record : under_way_) restamp(record.waiting());
}

std::optional<MonotonicTime> Delivery::next_attempt() const {
  if (!IsOn()) return std::nullopt;
  const MonotonicTime now = loop_.clock().Monotonic();
  auto earliest = spool_.NextDue().value_or(MonotonicTime::max());
  if (spool_.HasReady(now)) {
    earliest = {};
  } else if (const auto release = spool_.NextRelease(now)) {
    earliest = std::min(earliest, *release);
  }
  if (earliest == MonotonicTime::max()) return std::nullopt;
  return std::max({earliest, not_before_, limited_until_});
}

void Delivery::SetTimer() {
  const MonotonicTime now = loop_.clock().Monotonic();
  timer_.Clear();
  if (wants_another_pass_) return timer_.SetAt(now);
  auto wake = MonotonicTime::max();
  // One that is due already waits for something else: a verdict, or consent, whose end is a
  // signal's.
  const auto attempt = next_attempt();
  if (attempt && *attempt > now) wake = *attempt;
  if (const WaitingRecord* const oldest = spool_.Oldest()) {
    const MonotonicTime expires(std::chrono::seconds(oldest->since + int64_t{1}) +
                                std::chrono::minutes(settings_.record_expiry));
    wake = std::min(wake, std::max(expires, now + std::chrono::seconds(1)));
  }
  if (spool_.NextDue()) {
    wake = std::min(wake, std::max(deferred_expire_, now + std::chrono::seconds(1)));
  }
  if (wake != MonotonicTime::max()) timer_.SetAt(wake);
}

}  // namespace telem
