#include "probes/crash/crash_counts.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr int64_t kHour = 3600;
constexpr size_t kMaxFile = size_t{1} * 1024 * 1024;
// More than any machine can have; no sum of them overflows.
constexpr uint64_t kMaxHeld = 1'000'000'000'000;

// A field of a line; the process comes last and may have blanks.
std::string Field(std::string_view text) { return text.empty() ? "-" : std::string(text); }
std::string Value(std::string_view field) { return field == "-" ? "" : std::string(field); }

}  // namespace

CrashCounts::Entry& CrashCounts::Find(const CrashKey& key) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.key.exact == key.exact; });
  if (found != entries_.end()) {
    std::rotate(found, found + 1, entries_.end());
    return entries_.back();
  }
  if (entries_.size() == kMaxEntries) {
    // One that holds nothing can be forgotten without losing a crash.
    const auto victim =
        std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.held == 0; });
    if (victim != entries_.end()) {
      entries_.erase(victim);
    } else {
      // Its crashes are told with those of the next one in the table.
      entries_[1].held += entries_[0].held;
      entries_.erase(entries_.begin());
    }
  }
  entries_.push_back({key, 0, {}});
  return entries_.back();
}

// Whether it was told so often that the next one is only counted.
bool CrashCounts::HasBeenTold(Entry& entry, WallTime now) {
  const int64_t seconds = EpochSeconds(now);
  // A clock that was set back must not hold records up for longer than an hour.
  std::erase_if(entry.told,
                [&](int64_t told) { return told > seconds || seconds - told >= kHour; });
  return entry.told.size() >= kFullAnHour;
}

bool CrashCounts::Admit(const CrashKey& key, WallTime now, uint64_t& held) {
  Entry& entry = Find(key);
  if (HasBeenTold(entry, now)) {
    ++entry.held;
    return false;
  }
  entry.told.push_back(EpochSeconds(now));
  held = std::exchange(entry.held, 0);
  return true;
}

bool CrashCounts::CountRepeated(std::string_view exact, WallTime now) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.key.exact == exact; });
  if (entry == entries_.end() || !HasBeenTold(*entry, now)) return false;
  ++entry->held;
  std::rotate(entry, entry + 1, entries_.end());
  return true;
}

void CrashCounts::TakeBack(const CrashKey& key, uint64_t held) {
  Entry& entry = Find(key);
  entry.held += held + 1;
  if (!entry.told.empty()) entry.told.pop_back();
}

std::vector<HeldCrashes> CrashCounts::TakeDue(WallTime now) {
  const int64_t seconds = EpochSeconds(now);
  std::vector<HeldCrashes> due;
  for (Entry& entry : entries_) {
    const bool waits = !entry.told.empty() && entry.told.front() <= seconds &&
                       seconds - entry.told.front() < kHour;
    if (entry.held == 0 || waits) continue;
    due.push_back({entry.key, std::exchange(entry.held, 0)});
  }
  return due;
}

std::string CrashCounts::Save() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text += Field(entry.key.exact) + " " + Field(entry.key.stable) + " " + Field(entry.key.signal) +
            " " + Field(entry.key.rest) + " ";
    AppendUnsigned(text, entry.held);
    text += " ";
    for (const int64_t told : entry.told) {
      AppendSigned(text, told);
      text += ",";
    }
    text += " ";
    for (const char c : entry.key.process) text += IsControl(c) ? '?' : c;
    text += "\n";
  }
  return text;
}

CrashCounts CrashCounts::Load(std::string_view text) {
  CrashCounts counts;
  while (!text.empty() && counts.entries_.size() < kMaxEntries) {
    std::string_view line = TakeUntil(text, '\n');
    Entry entry;
    entry.key.exact = Value(TakeUntil(line, ' '));
    entry.key.stable = Value(TakeUntil(line, ' '));
    entry.key.signal = Value(TakeUntil(line, ' '));
    entry.key.rest = Value(TakeUntil(line, ' '));
    const auto held = ParseUnsigned(TakeUntil(line, ' '));
    std::string_view told = TakeUntil(line, ' ');
    while (!told.empty() && entry.told.size() < kFullAnHour) {
      const auto seconds = ParseSigned(TakeUntil(told, ','));
      if (seconds && *seconds >= 0) entry.told.push_back(*seconds);
    }
    if (!held || *held > kMaxHeld || entry.key.exact.empty()) continue;
    const bool is_known =
        std::any_of(counts.entries_.begin(), counts.entries_.end(),
                    [&](const Entry& known) { return known.key.exact == entry.key.exact; });
    if (is_known) continue;
    entry.held = *held;
    entry.key.process = line;
    counts.entries_.push_back(std::move(entry));
  }
  return counts;
}

Result<LockedCrashCounts> LockedCrashCounts::Open(const std::string& path) {
  LockedCrashCounts file;
  file.path_ = path;
  TELEM_TRY(file.lock_,
            OpenAt(AT_FDCWD, path + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600));
  while (::flock(file.lock_.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return SystemError("lock '" + path + "'", errno);
  }
  // A file that is missing or damaged starts again from nothing.
  if (const auto text = ReadFile(path, kMaxFile)) file.counts = CrashCounts::Load(*text);
  return file;
}

Status LockedCrashCounts::Save() const { return ReplaceFile(path_, counts.Save(), 0600); }

}  // namespace telem
