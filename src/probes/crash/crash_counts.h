// CrashCounts: a program that crashes again and again is told in full a few times an hour, and then
// only counted. The counts outlive a reboot, and no crash gets lost between two counts.
//
// A pure table; the file that holds it is LockedCrashCounts.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

// What crashed, as far as a count needs it.
struct CrashKey {
  std::string exact;    // signature; crashes that were not analysed have one of their own
  std::string stable;   // may be empty
  std::string process;  // as the record shows it
  std::string signal;   // "11"
  std::string rest;     // of the classification
};

// A record that tells of crashes by their number.
struct HeldCrashes {
  CrashKey key;
  std::string event_id;  // of the record; each time that it is told
  uint64_t count = 0;
  bool was_begun = false;  // by somebody who was ended then: telemd may have it
};

enum class Admission {
  kInFull,
  kAgain,  // in full, and it was begun before by somebody who was ended: telemd may have it
  kCounted,
  kKnown,  // this very crash was told or counted before
};

class CrashCounts {
 public:
  static constexpr size_t kFullAnHour = 5;
  static constexpr size_t kMaxEntries = 512;
  // Records of a crash that are on their way at once; the kernel starts no more of us than that.
  static constexpr size_t kMaxTellings = 16;
  // A crash that is told takes seconds. Who has begun longer ago was ended.
  static constexpr std::chrono::seconds kLongestTelling{60};

  // What becomes of a crash at `now`, whose record would be `event_id` (32 hex digits). In full:
  // `held` is how many were only counted before it, and they are told with it. They count as told
  // at Confirm() only; when that never comes, TakeDue() gives them out again.
  Admission Admit(const CrashKey& key, WallTime now, const std::string& event_id, uint64_t& held);

  // Counts a crash with this signature, if by Admit() it would only be counted; else does nothing.
  bool CountRepeated(std::string_view exact, WallTime now);

  // telemd has taken over the record.
  void Confirm(const CrashKey& key, const std::string& event_id);

  // The record that Admit() allowed could not be sent: counts it, and what was held, again. The
  // next one may be told in full in its place. Where the crash `comes_again` by itself, only what
  // was held is counted.
  void TakeBack(const CrashKey& key, const std::string& event_id, bool comes_again);

  // Counts again what TakeDue() gave out and that could not be told.
  void Hold(const CrashKey& key, const std::string& event_id);

  // What was held and is due at `now`, an hour after the last full record, and records that were
  // begun and never confirmed. `make_id` gives event ids.
  std::vector<HeldCrashes> TakeDue(WallTime now, const std::function<std::string()>& make_id);

  std::string Save() const;
  // Lines that cannot be read are passed over: damage costs a count, never a crash record.
  static CrashCounts Load(std::string_view text);

 private:
  struct Telling {
    std::string event_id;
    uint64_t crashes = 0;
    int64_t since = 0;  // seconds since the epoch
  };
  struct Entry {
    CrashKey key;
    uint64_t held = 0;
    std::vector<int64_t> told;  // seconds since the epoch, oldest first
    std::vector<Telling> tellings;
  };
  Entry& Find(const CrashKey& key);
  Entry* FindKnown(std::string_view exact);
  static bool HasBeenTold(Entry& entry, WallTime now);
  static void Begin(Entry& entry, const std::string& event_id, uint64_t crashes, int64_t now);
  // How many crashes it would have told; 0 where there is no such telling.
  static uint64_t End(Entry& entry, const std::string& event_id);
  static uint64_t AllOf(const Entry& entry);

  std::vector<Entry> entries_;  // the one used last is at the end
  std::string last_;            // event id of the last crash that was told or counted
};

// The file, locked as long as this lives. Without a file it can be written to, counts are of this
// process only.
class LockedCrashCounts {
 public:
  // `path` in a folder that exists.
  static Result<LockedCrashCounts> Open(const std::string& path);

  CrashCounts counts;
  Status Save() const;

 private:
  std::string path_;
  UniqueFd lock_;
};

}  // namespace telem
