#include "daemon/finisher.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

namespace telem {
namespace {

// How long a disk that did not let a file go is left alone.
constexpr std::chrono::seconds kLeftoverPause{10};

}  // namespace

// Something stands in each field: people and readers of 1.x look at columns.
DescribedRecord Describe(const WaitingRecord& record, std::string_view header_text) {
  DescribedRecord described{.waiting = record,
                            .classification = "unreadable",
                            .event_id = std::string(kHexIdSize, '0'),
                            .bytes = record.bytes()};
  const auto headers = SplitHeaders(header_text);
  if (!headers || !CheckHeaders(*headers)) return described;
  described.classification = (*headers)[Header::kClassification];
  described.event_id = (*headers)[Header::kEventId];
  described.severity = SeverityOf(*headers);
  return described;
}

Finisher::Finisher(EventLoop& loop, Spool& spool, Journal& journal, Counters& counters,
                   std::string boot_id)
    : clock_(loop.clock()),
      spool_(spool),
      journal_(journal),
      counters_(counters),
      boot_id_(std::move(boot_id)),
      retry_due_(loop, [this] { RetryLeftover(); }) {}

void Finisher::Finish(const DescribedRecord& record, RecordState state, std::string_view detail) {
  AddLine(record, state, detail);
  spool_.Settle(record.waiting);
  finished_.push_back({record.waiting, state, std::string(detail), ""});
}

void Finisher::Finish(const WaitingRecord& record, RecordState state, std::string_view detail) {
  Finish(ReadDescription(record), state, detail);
}

void Finisher::Drop(const WaitingRecord& record, std::string_view why) {
  AddLine(ReadDescription(record), RecordState::kDropped, why);
  spool_.Settle(record);
  // What cannot be removed is found at the next start and delivered: that harms nobody.
  if (const Status removed = spool_.Remove(record); !removed) {
    Log(LogLevel::kError, removed.error().message);
  }
}

void Finisher::RejectFound(const Spool::Found& found) {
  WaitingRecord record{.name = found.name};
  // What has no id gets one, so that people find it in the journal.
  if (found.name == SpoolFileName()) record.name.id = MakeRecordId(clock_.Now());
  DescribedRecord described = Describe(record, found.header_text);
  described.bytes = found.size;
  AddLine(described, RecordState::kRejected, found.reason + " (file " + found.file_name + ")");
  finished_.push_back({record, RecordState::kRejected, found.reason, found.file_name});
}

DescribedRecord Finisher::ReadDescription(const WaitingRecord& record) const {
  const auto bytes = spool_.Read(record);
  const auto parts =
      bytes ? ParseSpoolFile(*bytes, record.name.payload_size) : std::unexpected(bytes.error());
  return Describe(record, parts ? parts->header_text : "");
}

void Finisher::AddLine(const DescribedRecord& record, RecordState state, std::string_view detail) {
  const std::string id = record.id().ToHex();
  journal_.Add({.record_id = id,
                .time = static_cast<uint64_t>(EpochSeconds(clock_.Now())),
                .classification = record.classification,
                .event_id = record.event_id,
                .boot_id = boot_id_,
                .severity = record.severity,
                .bytes = record.bytes,
                .state = state,
                .detail = detail,
                .uid = record.waiting.name.uid});
}

void Finisher::RemoveFinished() {
  for (const Finished& finished : finished_) {
    Count(finished.state);
    if (GiveUpFile(finished)) continue;
    spool_.Occupy(finished.record.blocks());
    leftover_.push_back(finished);
  }
  finished_.clear();
  if (!leftover_.empty() && !retry_due_.IsSet()) retry_due_.SetAfter(kLeftoverPause);
}

void Finisher::Count(RecordState state) {
  switch (state) {
    case RecordState::kDelivered:
      ++counters_.delivered;
      break;
    case RecordState::kRejected:
      ++counters_.rejected;
      break;
    case RecordState::kExpired:
      ++counters_.expired;
      break;
    default:
      ++counters_.evicted;
      break;
  }
}

void Finisher::RetryLeftover() {
  std::erase_if(leftover_, [this](const Finished& finished) {
    if (!GiveUpFile(finished)) return false;
    spool_.Vacate(finished.record.blocks());
    return true;
  });
  retry_due_.Clear();
  if (!leftover_.empty()) retry_due_.SetAfter(kLeftoverPause);
}

// Returns false when the file is still there and may go another time.
bool Finisher::GiveUpFile(const Finished& finished) {
  const Status gone = finished.state != RecordState::kRejected
                          ? spool_.Remove(finished.record)
                          : spool_.Reject(finished.file_name.empty() ? finished.record.name.ToText()
                                                                     : finished.file_name,
                                          finished.detail);
  if (gone) return true;
  if (gone.error().code == ErrorCode::kInvalid) {
    Log(LogLevel::kError, gone.error().message);
    return true;
  }
  if (leftover_.empty()) {
    Log(LogLevel::kError, gone.error().message + "; trying again, and until then it takes room");
  }
  return false;
}

bool Finisher::IsFinished(const RecordId& id) const {
  const auto has_id = [&id](const Finished& finished) { return finished.record.id() == id; };
  return std::ranges::any_of(finished_, has_id) || std::ranges::any_of(leftover_, has_id);
}

}  // namespace telem
