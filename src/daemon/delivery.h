// Delivery: decides when a record is handed to telem-deliver, and what follows from its verdict.
//
// Fresh records go out at once while nothing is wrong; else they wait in the spool, oldest first.
// Over its half of the rate limit a uid's records wait, and nobody else's for them.
// What the server says about one record concerns that record, what shows that the server or the way
// to it is in trouble stops everything for a while (backoff.h). An answer that an operator has to
// mend (401, 403) may mean either: it is the record's where the server took others since it last
// was in trouble, unless three different ones fail in a row. Whatever it was, a record that
// failed goes behind the others and is tried again by its own backoff, so that no number of
// poisoned ones blocks the rest; one that can never succeed is rejected.
//
// One round of the loop: verdicts come in, and a record that has its last state is the Finisher's
// from there on; Offer() and Pump() hand over new ones.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/delivery_worker.h"
#include "daemon/finisher.h"
#include "daemon/rate_limiter.h"
#include "store/spool.h"

namespace telem {

class Delivery {
 public:
  // A pass looks at so many records, so that a large spool never keeps the loop from its senders.
  static constexpr size_t kMaxPass = 20;
  static constexpr size_t kMaxUnderWay = 10;
  // A verdict that takes longer will not come; telem-deliver gives up on a request earlier.
  static constexpr std::chrono::seconds kVerdictTime{30};

  // Everything is kept by reference and outlives this.
  Delivery(EventLoop& loop, const Settings& settings, Spool& spool, Finisher& finisher,
           RateLimiter& limiter, ConsentWatch& consent, DeliveryWorker::Way way);

  // A record that was taken over this moment: its file is in the spool, its bytes are at hand.
  void Offer(const WaitingRecord& record, std::string_view header_text, std::string_view payload);
  // The same for one whose bytes are only in its file.
  void OfferFromFile(const WaitingRecord& record) { spool_.Append(record); }

  // For people, who look at single records (SpoolDesk): how far one has come.
  enum class Standing { kWaiting, kUnderWay, kFailed, kFinished };
  struct Progress {
    Standing standing = Standing::kWaiting;
    unsigned failures = 0;                // in a row
    std::optional<MonotonicTime> next{};  // when it is tried next, where that is known
  };
  Progress ProgressOf(const RecordId& id) const;
  // The record that is not finished yet and has this id.
  std::optional<WaitingRecord> Find(const RecordId& id) const;
  // Gives it up: evicted, and `why` goes to the journal. What telem-deliver has is taken away from
  // it. False when there is no such record.
  bool Evict(const RecordId& id, std::string_view why);
  // Whether records are to be sent at all.
  bool IsOn() const;
  // Whether a record that comes from elsewhere is too old, by its id.
  bool IsExpired(const RecordId& id) const;

  // Hands over what may go now, and sets the timer for the rest.
  void Pump();

  // What an administrator means by SIGHUP: try now, whatever was wrong before.
  void TryNow();

  // The settings were read again: the next record goes where they say, at once. What is under way
  // is cut where it should not go there any more.
  void Restart();

  // Nothing more goes out: what is under way is cut and waits again.
  void Cut();

  // Gives up waiting records, the oldest first, at most `count`, and tells the journal why. Returns
  // whether there may be more. Records under way are not looked at.
  bool EvictWaiting(size_t count, std::string_view why);

  // The clock was set: see Spool::Restamp.
  void Restamp() const;

  void ReapWorker() { worker_.Reap(); }

  // Records that telem-deliver has and that have no verdict yet.
  size_t under_way() const { return under_way_.size(); }
  // Records that the spool does not count among its waiting ones and that have no last state yet.
  size_t not_in_spool_list() const { return under_way_.size() + finisher_.not_counted(); }

  struct Trouble {
    std::string text;
    WallTime time;
  };
  std::optional<WallTime> last_success() const { return last_success_; }
  // What an earlier process knew.
  void set_last_success(std::optional<WallTime> when) { last_success_ = when; }
  const std::optional<Trouble>& last_error() const { return last_error_; }
  // Whether the server, or the way to it, is in trouble: last_error() says which.
  bool is_failing() const { return failures_ > 0; }
  // Until when the rate limit of all has no room, where it has none.
  std::optional<MonotonicTime> limited_until() const {
    if (limited_until_ <= loop_.clock().Monotonic()) return std::nullopt;
    return limited_until_;
  }
  // When the next attempt is due, where one is.
  std::optional<MonotonicTime> next_attempt() const;

 private:
  struct UnderWay {
    DescribedRecord described;
    unsigned failures = 0;
    unsigned epoch = 0;  // how many failures of the server there had been
    MonotonicTime since{};

    const RecordId& id() const { return described.id(); }
    const WaitingRecord& waiting() const { return described.waiting; }
  };
  using Deferred = WaitingList::Deferred;
  enum class Step { kDone, kStop };
  // Why a record may not go out before `until`: the limit of all is reached, or its uid's share.
  struct Limited {
    bool is_for_all;
    MonotonicTime until;
  };

  bool MayHandOver();
  void Send();
  Step HandOverNext();
  std::optional<Deferred> TakeNext(MonotonicTime now);
  std::optional<Limited> FindLimit(const WaitingRecord& record, MonotonicTime now);
  void LetWait(const WaitingRecord& record, const Limited& limited);
  void HandOver(const WaitingRecord& record, unsigned failures, const HeaderViews& headers,
                std::string_view header_text, std::string_view payload);
  void PutAside(const Deferred& next, const Error& error);
  std::chrono::milliseconds SetApart(const WaitingRecord& record, unsigned failures);
  void ExpireOldest();
  bool IsExpired(const WaitingRecord& record) const;

  void OnVerdict(const Verdict& verdict);
  // `note`: what the server has to say against a request that it took (otlp), mostly nothing.
  void OnAccepted(const UnderWay& record, std::string_view note);
  void OnLater(const UnderWay& record, const Verdict& verdict);
  void OnWorkerGone();
  void OnOverdue();
  void LetUnderWayWait();
  void SetUnderWayApart();
  // `kind`: of which one line in the log is enough.
  void Stop(std::string_view kind, std::string_view why, std::chrono::milliseconds delay);
  bool IsNews(std::string_view kind);
  std::chrono::milliseconds NextDelay(unsigned failures) const;
  void NoteError(std::string text);
  void SetTimer();

  EventLoop& loop_;
  const Settings& settings_;
  Spool& spool_;
  Finisher& finisher_;
  RateLimiter& limiter_;
  ConsentWatch& consent_;
  DeliveryWorker worker_;
  DeliverySettings target_;  // what the worker was started with

  std::vector<UnderWay> under_way_;
  MonotonicTime deferred_expire_{};  // when to look next whether one that failed has expired
  unsigned failures_ = 0;            // of the server or the way to it, in a row
  unsigned epoch_ = 0;               // such failures ever
  unsigned first_failures_ = 0;      // of records that had not failed before, in a row
  bool has_delivered_ = false;       // a record, since the last failure of the server
  bool was_operators_ = false;       // that failure was an answer that an operator has to mend
  std::set<std::string, std::less<>> told_;  // kinds of failure, since delivery last worked
  unsigned workers_lost_ = 0;      // processes that ended with records under way, in a row
  MonotonicTime not_before_{};     // nothing is handed over earlier
  MonotonicTime limited_until_{};  // the rate limit has no room before
  bool wants_another_pass_ = false;
  Timer timer_;
  Timer overdue_;
  std::optional<WallTime> last_success_;
  std::optional<Trouble> last_error_;
};

}  // namespace telem
