// Finisher: gives records their last state: delivered, rejected, expired, evicted, dropped.
//
// Finish() adds the line to the journal; RemoveFinished() counts the record and gives up its file,
// once the journal is written. So whatever kills telemd in between leaves a record that is found
// again, and none that is gone without a word. Files that the disk does not let go take up room
// until they are gone; they are tried again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "daemon/counters.h"
#include "store/journal.h"
#include "store/spool.h"

namespace telem {

// What the journal wants to know of a record, while its file is not at hand.
struct DescribedRecord {
  WaitingRecord waiting;
  std::string classification;
  std::string event_id;
  unsigned severity = 0;
  uint64_t bytes = 0;  // headers and payload

  const RecordId& id() const { return waiting.id(); }
};

// By its headers, as far as they can be read.
DescribedRecord Describe(const WaitingRecord& record, std::string_view header_text);

class Finisher {
 public:
  // Everything is kept by reference and outlives this. `boot_id` is that of this boot.
  Finisher(EventLoop& loop, Spool& spool, Journal& journal, Counters& counters,
           std::string boot_id);

  // A record that its caller owns has its last state; `detail` goes to the journal.
  void Finish(const DescribedRecord& record, RecordState state, std::string_view detail);
  // The same for one whose headers are only in its file.
  void Finish(const WaitingRecord& record, RecordState state, std::string_view detail);

  // A record whose sender is told that it was not taken over after all, and why.
  void Drop(const WaitingRecord& record, std::string_view why);

  // A file that was found in the spool and is no record that could be delivered.
  void RejectFound(const Spool::Found& found);

  // Gives up the files of records that have their last state, once the journal says so.
  void RemoveFinished();

  // Tries those again that the disk did not let go.
  void RetryLeftover();

  // Whether the record has its last state, and its file may still be there.
  bool IsFinished(const RecordId& id) const;
  // Records that RemoveFinished() has not counted yet.
  size_t not_counted() const { return finished_.size(); }

 private:
  struct Finished {
    WaitingRecord record;
    RecordState state;
    std::string detail;
    std::string file_name;  // of one that was found and has no name of ours
  };

  DescribedRecord ReadDescription(const WaitingRecord& record) const;
  void AddLine(const DescribedRecord& record, RecordState state, std::string_view detail);
  void Count(RecordState state);
  bool GiveUpFile(const Finished& finished);

  const Clock& clock_;
  Spool& spool_;
  Journal& journal_;
  Counters& counters_;
  const std::string boot_id_;
  std::vector<Finished> finished_;
  std::vector<Finished> leftover_;  // counted, and their files are still there
  Timer retry_due_;
};

}  // namespace telem
