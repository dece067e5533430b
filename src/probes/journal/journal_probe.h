// JournalProbe: reads the system journal, makes records of what it finds, and follows it.
//
// What was read is given up entry by entry: the position in the journal moves on only when telemd
// has taken a record over. While it does not, the probe stays where it is and tries again.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "config/consent_watch.h"
#include "probes/common/record_outlet.h"
#include "probes/journal/journal_finding.h"
#include "probes/journal/journal_state.h"
#include "probes/journal/system_journal.h"

namespace telem {

struct JournalProbeOptions {
  std::string directory;  // of journal files; empty: this machine's
  bool tail = false;      // only what comes from now on
  bool post = true;       // else records are shown, and no state is read or written
};

// The record of a finding, or of a count.
ProbeRecord MakeJournalRecord(std::string payload, std::string event_id);

class JournalProbe final : private EventLoop::Handler {
 public:
  // Called with what an operator should know of, while the probe goes on.
  using Complain = std::function<void(const std::string&)>;

  JournalProbe(const RecordOutlet& outlet, const Settings& settings, JournalProbeOptions options,
               Complain complain);

  // Until the user opts out. Where records are shown and not sent, ends with the journal, or
  // follows with `tail`.
  Status Run();

 private:
  // What became of an entry, or of counts.
  enum class Outcome {
    kDone,
    kTryLater,  // telemd did not take the record
    kOptedOut,
  };

  void OnEvents(uint32_t events) override;
  void Advance();
  Result<Outcome> ReadOn();
  Outcome Report(const JournalEntry& entry);
  Outcome ReportDueCounts();
  Outcome Hand(std::string payload, std::string event_id);
  void KeepState();
  void PlanNextLook();
  void End(Status status);

  const RecordOutlet& outlet_;
  const Settings& settings_;
  JournalProbeOptions options_;
  Complain complain_;
  bool every_error_ = false;

  SystemClock clock_;
  EventLoop loop_{clock_};
  ConsentWatch consent_{loop_, settings_};
  Timer next_look_;  // for what no event tells: counts that are due, and more to read
  Timer retry_;      // while this is set, telemd is left alone
  std::optional<SystemJournal> journal_;
  std::optional<LockedJournalState> file_;
  // What is done with. The file's is older by entries that gave no record.
  JournalState state_;
  std::optional<JournalEntry> waiting_;  // telemd did not take its record
  bool at_end_ = false;
  Status status_;
};

}  // namespace telem
