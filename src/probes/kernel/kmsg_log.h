// The kernel's log as /dev/kmsg gives it, record by record, and the reports in it.
//
// A record is one line (Documentation/ABI/testing/dev-kmsg), which lines of properties may follow:
//
//   6,339,5140900,-,caller=T1;NET: Registered PF_INET6 protocol family
//    SUBSYSTEM=net
//
// The numbers are facility and level, sequence, and microseconds since the start. Processes can
// write into the log, too, but never under the kernel's own facility, 0: their lines are not looked
// at, so that nobody can make up a report.
//
//   KmsgLog log(position);
//   log.Feed(bytes);                                   // as read
//   for (RawReport& raw : log.TakeFinished()) …        // positions are sequence numbers
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/kernel/kmsg_record.h"
#include "probes/kernel/report_finder.h"

namespace telem {

class KmsgLog {
 public:
  // Longest record that is read: the kernel's have 1 KiB of text, four times that when escaped.
  static constexpr size_t kLongestRecord = 16 * 1024;

  // `first`: the sequence number from which on records are wanted.
  explicit KmsgLog(uint64_t first) : first_(first), next_(first) {}

  // Bytes of the log, cut anywhere.
  void Feed(std::string_view bytes);

  // Nothing has come for a while: what is open is complete.
  void Settle();

  // Whether Settle() would change anything.
  bool HasOpen() const;

  std::vector<RawReport> TakeFinished() { return finder_.TakeFinished(); }

  // Everything before this sequence number is in reports that were handed out, or in none.
  uint64_t SafePosition() const;

  // How many records were overwritten before they could be read, since it was asked last.
  uint64_t TakeLost();

 private:
  void TakeLine(std::string_view line);
  void TakeRecord(const KmsgRecord& record);
  void FeedPending();

  uint64_t first_;
  uint64_t next_;  // the sequence number that should come next
  uint64_t lost_ = 0;
  std::string partial_;                // the beginning of a line whose end has not come yet
  bool is_too_long_ = false;           // of which the end is skipped
  std::optional<KmsgRecord> pending_;  // it may be continued
  std::string pending_text_;           // unescaped
  std::string pending_caller_;
  ReportFinder finder_;
};

}  // namespace telem
