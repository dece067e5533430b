// CrashTeller: brings crashes to telemd, or only counts them when they are those of a loop.
//
// Each crash is in a record of its own, or in a count that a later record carries. What could not
// be sent is told another time; so is what was on its way when its teller was ended, under the same
// event id, unless telemd's journal has it (crash_counts.h).
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "probes/common/record_outlet.h"
#include "probes/crash/crash_arguments.h"
#include "probes/crash/crash_counts.h"
#include "probes/crash/crash_report.h"

namespace telem {

// What is told: a payload under its kind, and under which key it is counted.
struct CrashStory {
  CrashKind kind;
  std::string head;
  std::string rest;
  CrashKey key;
  std::string event_id;      // 32 hex digits
  bool comes_again = false;  // by itself, until it is told
};

class CrashTeller {
 public:
  static std::string NewEventId();

  // Both are kept by reference.
  CrashTeller(const CrashArguments& arguments, const Settings& settings)
      : arguments_(arguments), settings_(settings) {}

  // In full, or only counted. Returns the exit code, and says on stderr what went wrong.
  int Tell(const CrashStory& story);

  // Counts a crash with this text when it is one of a loop, of which enough was told.
  bool CountRepeated(const std::string& text);

  // Tells the counts that are due; as Tell().
  int TellDueCounts();

 private:
  bool IsByItself() const;
  std::string CountsPath() const { return settings_.state_dir + "/crash-counts"; }
  RecordOutlet Outlet() const;
  int TellInFull(const CrashStory& story, uint64_t held, bool was_begun);
  int TellUncounted(const CrashStory& story, Admission admission);
  int TellCounts(const std::vector<HeldCrashes>& due);
  template <typename Change>
  void ChangeCounts(Change change);
  int Send(const CrashStory& story, uint64_t held);

  const CrashArguments& arguments_;
  const Settings& settings_;
};

}  // namespace telem
