#include "probes/journal/failure_counts.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace telem {
namespace {

constexpr int64_t kHour = 3600;

// Whether `told` lies within the hour before `now`. A clock that was set back must not hold records
// up for longer than an hour.
bool IsRecent(int64_t told, int64_t now) { return told <= now && now - told < kHour; }

// A field of a line; nothing that is kept has blanks in it.
std::string Field(std::string_view text) {
  std::string field;
  for (const char c : text) field += IsControl(c) || c == ' ' ? '?' : c;
  return field.empty() ? "-" : field;
}
std::string Value(std::string_view field) { return field == "-" ? "" : std::string(field); }

}  // namespace

FailureCounts::Entry& FailureCounts::Find(std::string_view unit) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.unit == unit; });
  if (found != entries_.end()) {
    std::rotate(found, std::next(found), entries_.end());
    return entries_.back();
  }
  if (entries_.size() == kMaxUnits) {
    // One that holds nothing can be forgotten without losing a failure.
    const auto idle = std::find_if(entries_.begin(), entries_.end(),
                                   [](const Entry& entry) { return entry.held == 0; });
    entries_.erase(idle != entries_.end() ? idle : entries_.begin());
  }
  entries_.push_back({std::string(unit), {}, 0, {}});
  return entries_.back();
}

FailureCounts::Telling FailureCounts::Judge(std::string_view unit, std::string_view failure,
                                            WallTime now, uint64_t& held) {
  Entry& entry = Find(unit);
  if (!failure.empty()) {
    if (std::find(entry.failures.begin(), entry.failures.end(), failure) != entry.failures.end())
      return Telling::kToldBefore;
    entry.failures = {std::string(failure), std::move(entry.failures[0])};
  }
  const int64_t seconds = EpochSeconds(now);
  std::erase_if(entry.told, [&](int64_t told) { return !IsRecent(told, seconds); });
  if (entry.told.size() >= kFullAnHour) {
    ++entry.held;
    return Telling::kCounted;
  }
  entry.told.push_back(seconds);
  held = std::exchange(entry.held, 0);
  return Telling::kInFull;
}

std::optional<WallTime> FailureCounts::NextDue() const {
  std::optional<WallTime> next;
  for (const Entry& entry : entries_) {
    if (entry.held == 0) continue;
    const WallTime due{std::chrono::seconds(entry.told.empty() ? 0 : entry.told.front() + kHour)};
    next = next ? std::min(*next, due) : due;
  }
  return next;
}

std::optional<HeldFailures> FailureCounts::TakeDue(WallTime now) {
  const int64_t seconds = EpochSeconds(now);
  for (Entry& entry : entries_) {
    if (entry.held == 0) continue;
    if (!entry.told.empty() && IsRecent(entry.told.front(), seconds)) continue;
    return HeldFailures{.unit = entry.unit,
                        .count = std::exchange(entry.held, 0),
                        .hour = entry.told.empty() ? 0 : entry.told.front()};
  }
  return std::nullopt;
}

std::string FailureCounts::Save() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text +=
        Field(entry.unit) + " " + Field(entry.failures[0]) + " " + Field(entry.failures[1]) + " ";
    AppendUnsigned(text, entry.held);
    text += " ";
    for (const int64_t told : entry.told) {
      AppendSigned(text, told);
      text += ",";
    }
    text += "\n";
  }
  return text;
}

FailureCounts FailureCounts::Load(std::string_view text) {
  FailureCounts counts;
  while (!text.empty() && counts.entries_.size() < kMaxUnits) {
    std::string_view line = TakeUntil(text, '\n');
    Entry entry;
    entry.unit = Value(TakeUntil(line, ' '));
    for (std::string& failure : entry.failures) failure = Value(TakeUntil(line, ' '));
    const auto held = ParseUnsigned(TakeUntil(line, ' '));
    while (!line.empty() && entry.told.size() < kFullAnHour) {
      // Beyond 32 bits no clock goes, and adding an hour is safe.
      const auto told = ParseUnsigned(TakeUntil(line, ','));
      if (told && *told <= UINT32_MAX) entry.told.push_back(static_cast<int64_t>(*told));
    }
    if (!held) continue;
    entry.held = *held;
    counts.entries_.push_back(std::move(entry));
  }
  return counts;
}

}  // namespace telem
