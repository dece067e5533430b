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

int64_t Seconds(WallTime now) {
  return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
}

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

bool CrashCounts::Admit(const CrashKey& key, WallTime now, uint64_t& held) {
  Entry& entry = Find(key);
  const int64_t seconds = Seconds(now);
  // A clock that was set back must not hold records up for longer than an hour.
  std::erase_if(entry.told,
                [&](int64_t told) { return told > seconds || seconds - told >= kHour; });
  if (entry.told.size() >= kFullAnHour) {
    ++entry.held;
    return false;
  }
  entry.told.push_back(seconds);
  held = std::exchange(entry.held, 0);
  return true;
}

void CrashCounts::TakeBack(const CrashKey& key, uint64_t held) { Find(key).held += held + 1; }

std::vector<HeldCrashes> CrashCounts::TakeDue(WallTime now) {
  const int64_t seconds = Seconds(now);
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
      if (const auto seconds = ParseSigned(TakeUntil(told, ','))) entry.told.push_back(*seconds);
    }
    if (!held || entry.key.exact.empty()) continue;
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
