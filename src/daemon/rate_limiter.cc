#include "daemon/rate_limiter.h"

#include <algorithm>

#include "base/text.h"
#include "daemon/shares.h"

namespace telem {
namespace {

int64_t SecondOf(MonotonicTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

bool SlidingSum::HasRoom(uint64_t promised, uint64_t more, MonotonicTime now) {
  if (IsOff()) return true;
  Forget(now);
  const uint64_t before = sum_ + promised;
  // What is larger than the limit by itself goes alone; else it would wait for ever.
  if (before == 0 && limit_ > 0) return true;
  return before + more <= static_cast<uint64_t>(limit_);
}

void SlidingSum::SetLimit(int64_t limit, std::chrono::minutes window) {
  limit_ = limit;
  window_ = window;
}

void SlidingSum::Count(uint64_t amount, MonotonicTime now) {
  if (IsOff()) return;
  // Also here, for a window that nobody asks: it must not grow for ever.
  Forget(now);
  const int64_t second = SecondOf(now);
  if (buckets_.empty() || buckets_.back().second != second) buckets_.push_back({second, 0});
  buckets_.back().amount += amount;
  sum_ += amount;
}

MonotonicTime SlidingSum::NextRoom(MonotonicTime now) const {
  if (IsOff() || buckets_.empty()) return now;
  return EndOf(buckets_.front());
}

bool SlidingSum::IsEmpty(MonotonicTime now) const {
  return IsOff() || buckets_.empty() || EndOf(buckets_.back()) <= now;
}

void SlidingSum::Forget(MonotonicTime now) {
  while (!buckets_.empty() && NextRoom(now) <= now) {
    sum_ -= buckets_.front().amount;
    buckets_.pop_front();
  }
}

std::string SlidingSum::Save(MonotonicTime now) const {
  std::string text;
  // So many buckets become one, with the time of the youngest of them.
  const size_t together = (buckets_.size() + kMaxSaved - 1) / kMaxSaved;
  uint64_t amount = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    amount += buckets_[i].amount;
    if ((i + 1) % together != 0 && i + 1 != buckets_.size()) continue;
    if (!text.empty()) text += ' ';
    AppendSigned(text, SecondOf(now) - buckets_[i].second);
    text += ':';
    AppendUnsigned(text, amount);
    amount = 0;
  }
  return text;
}

void SlidingSum::Restore(std::string_view text, std::chrono::seconds passed, MonotonicTime now) {
  if (IsOff()) return;
  std::deque<Bucket> restored;
  for (size_t i = 0; i < kMaxSaved && !text.empty(); ++i) {
    std::string_view word = TakeUntil(text, ' ');
    const auto ago = ParseUnsigned(TakeUntil(word, ':'));
    const auto amount = ParseUnsigned(word);
    const int64_t second = SecondOf(now) - std::max<int64_t>(passed.count(), 0) -
                           static_cast<int64_t>(std::min<uint64_t>(ago.value_or(0), UINT32_MAX));
    // Sums stay what they are whatever the file says.
    if (!ago || !amount || *amount > UINT32_MAX * uint64_t{1024} ||
        (!restored.empty() && second <= restored.back().second) ||
        (!buckets_.empty() && second >= buckets_.front().second)) {
      continue;
    }
    restored.push_back({second, *amount});
    sum_ += *amount;
  }
  buckets_.insert(buckets_.begin(), restored.begin(), restored.end());
  Forget(now);
}

// A window that has room keeps nobody waiting, however long what was counted stays in it.
MonotonicTime RateLimiter::Windows::NextRoom(const Promised& promised, uint64_t more,
                                             MonotonicTime now) {
  MonotonicTime next = now;
  if (!records.HasRoom(promised.records, 1, now)) next = std::max(next, records.NextRoom(now));
  if (!bytes.HasRoom(promised.bytes, more, now)) next = std::max(next, bytes.NextRoom(now));
  return next;
}

void RateLimiter::SetLimits(const Limits& limits) {
  limits_ = limits;
  all_.records.SetLimit(limits.records, limits.record_window);
  all_.bytes.SetLimit(limits.bytes, limits.byte_window);
  for (auto& [uid, windows] : by_uid_) SetShare(windows);
}

void RateLimiter::SetShare(Windows& windows) const {
  windows.records.SetLimit(ShareOf(limits_.records), limits_.record_window);
  windows.bytes.SetLimit(ShareOf(limits_.bytes), limits_.byte_window);
}

RateLimiter::Windows* RateLimiter::FindWindows(uid_t uid) {
  auto at = by_uid_.find(uid);
  if (at == by_uid_.end()) at = by_uid_.find(kOthers);
  return at == by_uid_.end() ? nullptr : &at->second;
}

RateLimiter::Windows& RateLimiter::EnsureWindows(uid_t uid, MonotonicTime now) {
  auto at = by_uid_.find(uid);
  if (at != by_uid_.end()) return at->second;
  if (by_uid_.size() >= kMaxUids) {
    std::erase_if(by_uid_, [&](auto& entry) {
      return entry.second.records.IsEmpty(now) && entry.second.bytes.IsEmpty(now);
    });
    if (by_uid_.size() >= kMaxUids) uid = kOthers;
  }
  at = by_uid_.try_emplace(uid).first;
  SetShare(at->second);
  return at->second;
}

bool RateLimiter::HasRoom(const Promised& promised, uint64_t bytes, MonotonicTime now) {
  return all_.HasRoom(promised, bytes, now);
}

bool RateLimiter::HasRoomFor(uid_t uid, const Promised& promised, uint64_t bytes,
                             MonotonicTime now) {
  if (IsPrivileged(uid) || (limits_.records < 0 && limits_.bytes < 0)) return true;
  if (Windows* const windows = FindWindows(uid)) return windows->HasRoom(promised, bytes, now);
  Windows empty;
  SetShare(empty);
  return empty.HasRoom(promised, bytes, now);
}

void RateLimiter::Count(uid_t uid, uint64_t bytes, MonotonicTime now) {
  all_.records.Count(1, now);
  all_.bytes.Count(bytes, now);
  if (IsPrivileged(uid) || (limits_.records < 0 && limits_.bytes < 0)) return;
  Windows& own = EnsureWindows(uid, now);
  own.records.Count(1, now);
  own.bytes.Count(bytes, now);
}

MonotonicTime RateLimiter::NextRoom(const Promised& promised, uint64_t bytes, MonotonicTime now) {
  return all_.NextRoom(promised, bytes, now);
}

MonotonicTime RateLimiter::NextRoomFor(uid_t uid, const Promised& promised, uint64_t bytes,
                                       MonotonicTime now) {
  Windows* const windows = FindWindows(uid);
  return windows == nullptr ? now : windows->NextRoom(promised, bytes, now);
}

// One line a window: "sent_records UID AGO:AMOUNT ...", likewise sent_bytes; UID is "all" for the
// limit of all, "others" for what the uids without a window of their own share.
std::string RateLimiter::Save(MonotonicTime now) const {
  std::string text;
  const auto add = [&](std::string_view whose, const Windows& windows) {
    const auto add_sum = [&](std::string_view what, const SlidingSum& sum) {
      const std::string buckets = sum.Save(now);
      if (buckets.empty()) return;
      text.append(what).append(" ").append(whose).append(" ").append(buckets).append("\n");
    };
    add_sum("sent_records", windows.records);
    add_sum("sent_bytes", windows.bytes);
  };
  add("all", all_);
  for (const auto& [uid, windows] : by_uid_) {
    std::string whose;
    AppendUnsigned(whose, uid);
    add(uid == kOthers ? "others" : whose, windows);
  }
  return text;
}

void RateLimiter::Restore(std::string_view text, std::chrono::seconds passed, MonotonicTime now) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view what = TakeUntil(line, ' ');
    if (what != "sent_records" && what != "sent_bytes") continue;
    const std::string_view whose = TakeUntil(line, ' ');
    Windows* windows = &all_;
    if (whose != "all") {
      const auto uid = whose == "others" ? kOthers : ParseUnsigned(whose);
      if (!uid || *uid > kOthers) continue;
      windows = &EnsureWindows(static_cast<uid_t>(*uid), now);
    }
    (what == "sent_records" ? windows->records : windows->bytes).Restore(line, passed, now);
  }
}

}  // namespace telem
