#include "probes/crash/crash_counts.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"
#include "record/signature.h"

namespace telem {
namespace {

constexpr int64_t kHour = 3600;
// A line is 2.5 KiB at most: two names, and 16 tellings.
constexpr size_t kMaxFile = size_t{2} * 1024 * 1024;
constexpr size_t kMaxExact = 256;
constexpr size_t kMaxWord = 64;
constexpr size_t kMaxProcess = 512;
static_assert(CrashCounts::kMaxEntries * 2560 <= kMaxFile);
// More than any machine can have; no sum of them overflows.
constexpr uint64_t kMaxHeld = 1'000'000'000'000;

// A field of a line; the process comes last and may have blanks.
std::string Field(std::string_view text) { return text.empty() ? "-" : std::string(text); }
std::string Value(std::string_view field) { return field == "-" ? "" : std::string(field); }

// A path may be longer than all that is kept of a crash.
std::string ShortExact(const std::string& exact) {
  return exact.size() <= kMaxExact ? exact : SignatureOf("p1", {&exact, 1});
}

bool IsShort(const CrashKey& key) {
  return key.exact.size() <= kMaxExact && key.process.size() <= kMaxProcess &&
         std::max({key.stable.size(), key.signal.size(), key.rest.size()}) <= kMaxWord;
}

CrashKey Shortened(const CrashKey& key) {
  return {ShortExact(key.exact), key.stable.substr(0, kMaxWord), key.process.substr(0, kMaxProcess),
          key.signal.substr(0, kMaxWord), key.rest.substr(0, kMaxWord)};
}

constexpr size_t kEventId = 32;
constexpr std::string_view kLast = "last";

}  // namespace

uint64_t CrashCounts::AllOf(const Entry& entry) {
  uint64_t crashes = entry.held;
  for (const Telling& telling : entry.tellings) crashes += telling.crashes;
  return crashes;
}

CrashCounts::Entry* CrashCounts::FindKnown(std::string_view exact) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.key.exact == exact; });
  if (found == entries_.end()) return nullptr;
  std::rotate(found, found + 1, entries_.end());
  return &entries_.back();
}

CrashCounts::Entry& CrashCounts::Find(const CrashKey& full_key) {
  const CrashKey key = Shortened(full_key);
  if (Entry* known = FindKnown(key.exact)) return *known;
  if (entries_.size() == kMaxEntries) {
    // One that holds nothing can be forgotten without losing a crash.
    const auto victim = std::find_if(entries_.begin(), entries_.end(),
                                     [](const Entry& e) { return AllOf(e) == 0; });
    if (victim != entries_.end()) {
      entries_.erase(victim);
    } else {
      // Its crashes are told with those of the next one in the table.
      entries_[1].held += AllOf(entries_[0]);
      entries_.erase(entries_.begin());
    }
  }
  entries_.push_back({key, 0, {}, {}});
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

void CrashCounts::Begin(Entry& entry, const std::string& event_id, uint64_t crashes, int64_t now) {
  if (entry.tellings.size() == kMaxTellings) {
    // Better told twice than not at all.
    entry.held += entry.tellings.front().crashes;
    entry.tellings.erase(entry.tellings.begin());
  }
  entry.tellings.push_back({event_id, crashes, now});
}

uint64_t CrashCounts::End(Entry& entry, const std::string& event_id) {
  const auto telling = std::find_if(entry.tellings.begin(), entry.tellings.end(),
                                    [&](const Telling& t) { return t.event_id == event_id; });
  if (telling == entry.tellings.end()) return 0;
  const uint64_t crashes = telling->crashes;
  entry.tellings.erase(telling);
  return crashes;
}

Admission CrashCounts::Admit(const CrashKey& key, WallTime now, const std::string& event_id,
                             uint64_t& held) {
  Entry& entry = Find(key);
  if (event_id == last_) {
    // Who began to tell it was ended before it was taken over, as far as anybody knows. It may have
    // been under another key, when it was looked into further.
    uint64_t crashes = 0;
    for (Entry& other : entries_) crashes += End(other, event_id);
    if (crashes == 0) return Admission::kKnown;
    Begin(entry, event_id, crashes, EpochSeconds(now));
    held = crashes - 1;
    return Admission::kAgain;
  }
  last_ = event_id;
  if (HasBeenTold(entry, now)) {
    ++entry.held;
    return Admission::kCounted;
  }
  entry.told.push_back(EpochSeconds(now));
  held = std::exchange(entry.held, 0);
  Begin(entry, event_id, held + 1, EpochSeconds(now));
  return Admission::kInFull;
}

bool CrashCounts::CountRepeated(std::string_view exact, WallTime now) {
  Entry* entry = FindKnown(exact);
  if (entry == nullptr || !HasBeenTold(*entry, now)) return false;
  ++entry->held;
  return true;
}

void CrashCounts::Confirm(const CrashKey& key, const std::string& event_id) {
  if (Entry* entry = FindKnown(ShortExact(key.exact))) End(*entry, event_id);
}

void CrashCounts::TakeBack(const CrashKey& key, const std::string& event_id, bool comes_again) {
  Entry& entry = Find(key);
  entry.held += End(entry, event_id);
  if (!entry.told.empty()) entry.told.pop_back();
  if (!comes_again || entry.held == 0) return;
  --entry.held;
  if (last_ == event_id) last_.clear();
}

void CrashCounts::Hold(const CrashKey& key, const std::string& event_id) {
  Entry& entry = Find(key);
  entry.held += End(entry, event_id);
}

std::vector<HeldCrashes> CrashCounts::TakeDue(WallTime now,
                                              const std::function<std::string()>& make_id) {
  const int64_t seconds = EpochSeconds(now);
  std::vector<HeldCrashes> due;
  for (Entry& entry : entries_) {
    for (Telling& telling : entry.tellings) {
      const bool is_under_way =
          telling.since <= seconds && seconds - telling.since < kLongestTelling.count();
      if (is_under_way) continue;
      telling.since = seconds;
      due.push_back({entry.key, telling.event_id, telling.crashes, true});
    }
    const bool waits = !entry.told.empty() && entry.told.front() <= seconds &&
                       seconds - entry.told.front() < kHour;
    if (entry.held == 0 || waits) continue;
    due.push_back({entry.key, make_id(), entry.held, false});
    Begin(entry, due.back().event_id, std::exchange(entry.held, 0), seconds);
  }
  return due;
}

std::string CrashCounts::Save() const {
  std::string text;
  if (!last_.empty()) text += std::string(kLast) + " " + last_ + "\n";
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
    for (const Telling& telling : entry.tellings) {
      text += telling.event_id + ":";
      AppendUnsigned(text, telling.crashes);
      text += ":";
      AppendSigned(text, telling.since);
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
    if (entry.key.exact == kLast && line.empty()) {
      if (IsLowerHex(entry.key.stable, kEventId)) counts.last_ = entry.key.stable;
      continue;
    }
    entry.key.signal = Value(TakeUntil(line, ' '));
    entry.key.rest = Value(TakeUntil(line, ' '));
    const auto held = ParseUnsigned(TakeUntil(line, ' '));
    std::string_view told = TakeUntil(line, ' ');
    while (!told.empty() && entry.told.size() < kFullAnHour) {
      const auto seconds = ParseSigned(TakeUntil(told, ','));
      if (seconds && *seconds >= 0) entry.told.push_back(*seconds);
    }
    std::string_view tellings = TakeUntil(line, ' ');
    while (!tellings.empty() && entry.tellings.size() < kMaxTellings) {
      std::string_view telling = TakeUntil(tellings, ',');
      const std::string_view event_id = TakeUntil(telling, ':');
      const auto crashes = ParseUnsigned(TakeUntil(telling, ':'));
      const auto since = ParseSigned(telling);
      if (!IsLowerHex(event_id, kEventId) || !crashes || *crashes == 0 || *crashes > kMaxHeld ||
          !since || *since < 0) {
        continue;
      }
      entry.tellings.push_back({std::string(event_id), *crashes, *since});
    }
    if (!held || *held > kMaxHeld || entry.key.exact.empty()) continue;
    const bool is_known =
        std::any_of(counts.entries_.begin(), counts.entries_.end(),
                    [&](const Entry& known) { return known.key.exact == entry.key.exact; });
    if (is_known) continue;
    entry.held = *held;
    entry.key.process = line;
    if (!IsShort(entry.key)) continue;
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
