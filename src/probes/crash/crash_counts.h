// CrashCounts: a program that crashes again and again is told in full a few times an hour, and then
// only counted. The counts outlive a reboot, and no crash gets lost between two counts.
//
// A pure table; the file that holds it is LockedCrashCounts.
#pragma once

#include <chrono>
#include <cstdint>
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

struct HeldCrashes {
  CrashKey key;
  uint64_t count = 0;
};

class CrashCounts {
 public:
  static constexpr size_t kFullAnHour = 5;
  static constexpr size_t kMaxEntries = 512;

  // Whether a crash may be told in full at `now`. If so, `held` is how many were only counted
  // before it, and they are told with it: they are forgotten here. If not, it is counted.
  bool Admit(const CrashKey& key, WallTime now, uint64_t& held);

  // Counts a crash with this signature, if by Admit() it would only be counted; else does nothing.
  bool CountRepeated(std::string_view exact, WallTime now);

  // The record that Admit() allowed could not be sent: counts it, and what was held, again. The
  // next one may be told in full in its place.
  void TakeBack(const CrashKey& key, uint64_t held);

  // Counts `count` crashes that TakeDue() gave out and that could not be told.
  void Hold(const CrashKey& key, uint64_t count) { Find(key).held += count; }

  // What was held and is due at `now`, an hour after the last full record; forgotten here.
  std::vector<HeldCrashes> TakeDue(WallTime now);

  std::string Save() const;
  // Lines that cannot be read are passed over: damage costs a count, never a crash record.
  static CrashCounts Load(std::string_view text);

 private:
  struct Entry {
    CrashKey key;
    uint64_t held = 0;
    std::vector<int64_t> told;  // seconds since the epoch, oldest first
  };
  Entry& Find(const CrashKey& key);
  static bool HasBeenTold(Entry& entry, WallTime now);

  std::vector<Entry> entries_;  // the one used last is at the end
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
