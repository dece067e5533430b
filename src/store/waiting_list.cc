#include "store/waiting_list.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace telem {
namespace {

bool IsLater(const WaitingList::Deferred& a, const WaitingList::Deferred& b) {
  return a.not_before > b.not_before;
}

bool IsYounger(const WaitingRecord& a, const WaitingRecord& b) {
  return std::tie(a.since, a.name.id) > std::tie(b.since, b.name.id);
}

void Add(Held& held, const WaitingRecord& record) {
  ++held.records;
  held.bytes += record.bytes();
  held.blocks += record.blocks();
}

void Subtract(Held& held, const WaitingRecord& record) {
  --held.records;
  held.bytes -= record.bytes();
  held.blocks -= record.blocks();
}

}  // namespace

void WaitingList::ByAge::Push(const WaitingRecord& record) {
  if (!records_) records_.emplace();
  records_->push_back(record);
  std::push_heap(records_->begin(), records_->end(), IsYounger);
}

WaitingRecord WaitingList::ByAge::Pop() {
  std::pop_heap(records_->begin(), records_->end(), IsYounger);
  const WaitingRecord oldest = records_->back();
  records_->pop_back();
  if (records_->empty()) records_.reset();
  return oldest;
}

bool WaitingList::ByAge::Erase(const RecordId& id) {
  if (!records_) return false;
  const size_t erased =
      std::erase_if(*records_, [&](const WaitingRecord& record) { return record.id() == id; });
  if (erased == 0) return false;
  std::make_heap(records_->begin(), records_->end(), IsYounger);
  if (records_->empty()) records_.reset();
  return true;
}

WaitingList::WaitingList(std::initializer_list<uid_t> privileged) {
  holders_.push_back({.uid = kOthers});
  for (const uid_t uid : privileged) holders_.push_back({.uid = uid});
  privileged_end_ = holders_.size();
}

size_t WaitingList::HolderOf(uid_t uid) const {
  for (size_t i = 1; i < holders_.size(); ++i) {
    if (holders_[i].uid == uid) return i;
  }
  return 0;
}

size_t WaitingList::EnsureHolder(uid_t uid) {
  if (const size_t known = HolderOf(uid); known != 0) return known;
  for (size_t i = privileged_end_; i < holders_.size(); ++i) {
    if (holders_[i].held.records > 0) continue;
    holders_[i] = {.uid = uid};
    return i;
  }
  if (holders_.size() == kMaxHolders) return 0;
  holders_.push_back({.uid = uid});
  return holders_.size() - 1;
}

void WaitingList::Count(WaitingRecord& record) {
  record.holder = static_cast<uint8_t>(EnsureHolder(record.name.uid));
  telem::Add(holders_[record.holder].held, record);
  telem::Add(held_, record);
}

void WaitingList::Uncount(const WaitingRecord& record) {
  Subtract(holders_[record.holder].held, record);
  Subtract(held_, record);
}

void WaitingList::Add(const WaitingRecord& record) {
  Holder& holder = holders_[record.holder];
  holder.by_severity[record.severity].Push(record);
  holder.waiting_blocks += record.blocks();
  waiting_blocks_ += record.blocks();
  ++size_;
}

void WaitingList::StopWaiting(const WaitingRecord& record) {
  holders_[record.holder].waiting_blocks -= record.blocks();
  waiting_blocks_ -= record.blocks();
  --size_;
}

void WaitingList::Defer(const Deferred& deferred) {
  deferred_.push_back(deferred);
  std::push_heap(deferred_.begin(), deferred_.end(), IsLater);
  holders_[deferred.record.holder].waiting_blocks += deferred.record.blocks();
  waiting_blocks_ += deferred.record.blocks();
  ++size_;
}

std::optional<WaitingList::Deferred> WaitingList::TakeDue(MonotonicTime now) {
  if (deferred_.empty() || deferred_.front().not_before > now) return std::nullopt;
  std::pop_heap(deferred_.begin(), deferred_.end(), IsLater);
  const Deferred due = deferred_.back();
  deferred_.pop_back();
  StopWaiting(due.record);
  return due;
}

std::optional<MonotonicTime> WaitingList::NextDue() const {
  if (deferred_.empty()) return std::nullopt;
  return deferred_.front().not_before;
}

void WaitingList::ForgetFailures() {
  const std::deque<Deferred> all = std::exchange(deferred_, {});
  for (const Deferred& deferred : all) {
    StopWaiting(deferred.record);
    Add(deferred.record);
  }
}

void WaitingList::ForEach(const std::function<void(const WaitingRecord&)>& tell) const {
  for (const Holder& holder : holders_) {
    for (const ByAge& records : holder.by_severity) {
      if (records.empty()) continue;
      for (const WaitingRecord& record : *records.all()) tell(record);
    }
  }
  for (const Deferred& deferred : deferred_) tell(deferred.record);
}

std::optional<WaitingRecord> WaitingList::Find(const RecordId& id) const {
  std::optional<WaitingRecord> found;
  ForEach([&](const WaitingRecord& record) {
    if (record.id() == id) found = record;
  });
  return found;
}

std::optional<WaitingList::Deferred> WaitingList::FindDeferred(const RecordId& id) const {
  const auto at = std::find_if(deferred_.begin(), deferred_.end(),
                               [&](const Deferred& each) { return each.record.id() == id; });
  return at == deferred_.end() ? std::nullopt : std::optional(*at);
}

std::optional<WaitingRecord> WaitingList::Take(const RecordId& id) {
  const auto found = Find(id);
  if (!found) return std::nullopt;
  if (!holders_[found->holder].by_severity[found->severity].Erase(id)) {
    std::erase_if(deferred_, [&](const Deferred& deferred) { return deferred.record.id() == id; });
    std::make_heap(deferred_.begin(), deferred_.end(), IsLater);
  }
  StopWaiting(*found);
  return found;
}

std::vector<WaitingRecord> WaitingList::TakeDeferredBefore(int32_t since) {
  std::vector<WaitingRecord> taken;
  std::erase_if(deferred_, [&](const Deferred& deferred) {
    if (deferred.record.since >= since) return false;
    taken.push_back(deferred.record);
    return true;
  });
  for (const WaitingRecord& record : taken) StopWaiting(record);
  if (!taken.empty()) std::make_heap(deferred_.begin(), deferred_.end(), IsLater);
  return taken;
}

WaitingRecord WaitingList::Take(Place place) {
  const WaitingRecord record = holders_[place.holder].by_severity[place.severity].Pop();
  StopWaiting(record);
  return record;
}

// Of those whose holder may go at `now`, if that is given.
std::optional<WaitingList::Place> WaitingList::FindOldest(std::optional<MonotonicTime> now,
                                                          bool known_only) const {
  std::optional<Place> found;
  const WaitingRecord* oldest = nullptr;
  for (size_t i = 0; i < holders_.size(); ++i) {
    const Holder& holder = holders_[i];
    if (holder.waiting_blocks == 0 || (now && holder.held_back_until > *now)) continue;
    for (size_t severity = known_only ? 1 : 0; severity < holder.by_severity.size(); ++severity) {
      const ByAge& records = holder.by_severity[severity];
      if (records.empty() || (oldest != nullptr && IsYounger(records.oldest(), *oldest))) continue;
      found = Place{i, severity};
      oldest = &records.oldest();
    }
  }
  return found;
}

const WaitingRecord* WaitingList::Oldest() const {
  const auto place = FindOldest(std::nullopt, false);
  return place ? &holders_[place->holder].by_severity[place->severity].oldest() : nullptr;
}

std::optional<int32_t> WaitingList::OldestSince() const {
  const WaitingRecord* oldest = Oldest();
  for (const Deferred& deferred : deferred_) {
    if (oldest == nullptr || deferred.record.since < oldest->since) oldest = &deferred.record;
  }
  return oldest == nullptr ? std::nullopt : std::optional(oldest->since);
}

std::optional<WaitingRecord> WaitingList::TakeOldest(std::optional<MonotonicTime> now,
                                                     bool known_only) {
  const auto place = FindOldest(now, known_only);
  if (!place) return std::nullopt;
  return Take(*place);
}

bool WaitingList::HasReady(MonotonicTime now, bool known_only) const {
  return FindOldest(now, known_only).has_value();
}

void WaitingList::HoldBack(const WaitingRecord& record, MonotonicTime until) {
  holders_[record.holder].held_back_until = until;
}

void WaitingList::Release(const WaitingRecord& record) {
  holders_[record.holder].held_back_until = {};
}

void WaitingList::ReleaseAll() {
  for (Holder& holder : holders_) holder.held_back_until = {};
  for (Deferred& deferred : deferred_) deferred.not_before = {};
}

std::optional<MonotonicTime> WaitingList::NextRelease(MonotonicTime now) const {
  std::optional<MonotonicTime> earliest;
  for (const Holder& holder : holders_) {
    if (holder.waiting_blocks == 0 || holder.held_back_until <= now) continue;
    if (!earliest || holder.held_back_until < *earliest) earliest = holder.held_back_until;
  }
  return earliest;
}

std::optional<WaitingRecord> WaitingList::TakeUnknown(size_t holder) {
  if (holders_[holder].by_severity[0].empty()) return std::nullopt;
  return Take(Place{holder, 0});
}

std::optional<WaitingRecord> WaitingList::TakeLeast(size_t holder) {
  const auto is_less = [](const WaitingRecord& a, const WaitingRecord& b) {
    return a.severity != b.severity ? a.severity < b.severity : IsYounger(b, a);
  };
  const auto& by_severity = holders_[holder].by_severity;
  // Those whose severity nobody knows yet come last: their caller has looked at as many as he
  // would.
  size_t severity = 1;
  while (severity < by_severity.size() && by_severity[severity].empty()) ++severity;
  if (severity == by_severity.size()) severity = 0;
  const WaitingRecord* least =
      by_severity[severity].empty() ? nullptr : &by_severity[severity].oldest();
  auto failed = deferred_.end();
  for (auto at = deferred_.begin(); at != deferred_.end(); ++at) {
    if (at->record.holder != holder || (least != nullptr && !is_less(at->record, *least))) continue;
    least = &at->record;
    failed = at;
  }
  if (least == nullptr) return std::nullopt;
  if (failed == deferred_.end()) return Take(Place{holder, severity});
  const WaitingRecord record = *least;
  *failed = deferred_.back();
  deferred_.pop_back();
  std::make_heap(deferred_.begin(), deferred_.end(), IsLater);
  StopWaiting(record);
  return record;
}

std::optional<size_t> WaitingList::FindLargest() const {
  std::optional<size_t> largest;
  const auto rank = [&](size_t i) {
    return std::pair(holders_[i].held.blocks, i == 0 || i >= privileged_end_);
  };
  for (size_t i = 0; i < holders_.size(); ++i) {
    if (holders_[i].waiting_blocks == 0) continue;
    if (!largest || rank(i) > rank(*largest)) largest = i;
  }
  return largest;
}

}  // namespace telem
