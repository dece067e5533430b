#include "daemon/admission.h"

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/shares.h"

namespace telem {
namespace {

// "Survives a power cut within a second", as spool_sync = batch promises.
constexpr std::chrono::seconds kSyncDelay{1};

}  // namespace

Admission::Admission(const Parts& parts, std::string boot_id)
    : parts_(parts), boot_id_(std::move(boot_id)), sync_due_(parts.loop, [this] {
        if (parts_.syncer.IsBusy()) return sync_due_.SetAfter(kSyncDelay);
        if (const Status started = parts_.syncer.Start(); !started) {
          Log(LogLevel::kError, started.error().message);
        }
      }) {}

FrameStatus Admission::Admit(const IncomingRecord& record) {
  Counters& counters = parts_.counters;
  const Settings& settings = parts_.settings;
  if (record.had_config_path && !told_of_config_path_) {
    told_of_config_path_ = true;
    Log(LogLevel::kNotice,
        "a sender named a configuration file of its own; records go where telemd's says");
  }
  if (!parts_.consent.IsGiven()) {
    ++counters.refused_opted_out;
    return FrameStatus::kOptedOut;
  }
  HeaderViews headers = record.headers;
  headers[Header::kMachineId] = parts_.machine_id.value();
  header_text_.clear();
  AppendHeaders(header_text_, headers);
  const uid_t uid = record.peer.uid;
  const SpoolFileName name{ids_.Next(parts_.loop.clock().Now()), uid,
                           static_cast<uint32_t>(record.payload.size())};

  if (!settings.record_server_delivery_enabled || settings.server.empty()) {
    if (const Status kept = parts_.retention.Keep(name.id, record.payload); !kept) {
      return RefuseFor(kept.error());
    }
    is_troubled_ = false;
    AddLine(record, name.id, RecordState::kLocal);
    return FrameStatus::kTakenOver;
  }

  const size_t size = header_text_.size() + record.payload.size();
  if (settings.rate_limit_strategy == RateLimitStrategy::kDrop && !IsWithinRateLimit(uid, size)) {
    AddLine(record, name.id, RecordState::kDropped);
    ++counters.dropped;
    return FrameStatus::kRateLimited;
  }
  if (!MakeRoom(uid, size)) {
    ++counters.refused_spool_full;
    return FrameStatus::kSpoolFull;
  }
  const unsigned severity = SeverityOf(record.headers);
  if (const Status taken = TakeOver(name, severity, record.payload); !taken) {
    return RefuseFor(taken.error());
  }
  is_troubled_ = false;
  if (settings.record_retention_enabled) RetainToo(name.id, record.payload);
  AddLine(record, name.id, RecordState::kSpooled);
  return FrameStatus::kTakenOver;
}

// Of a record that is taken over: what is refused must not push out the payloads of others. It is
// safe in the spool, so that a disk that has no place for another copy costs only that.
void Admission::RetainToo(const RecordId& id, std::string_view payload) {
  const Status kept = parts_.retention.Keep(id, payload);
  if (!kept && !is_retention_troubled_) {
    Log(LogLevel::kError, kept.error().message + ", going on without it");
  }
  is_retention_troubled_ = !kept;
}

// Strategy drop: all that was answered 0 and has no last state yet goes before this one.
bool Admission::IsWithinRateLimit(uid_t uid, size_t size) {
  const MonotonicTime now = parts_.loop.clock().Monotonic();
  const auto promised = [](const Held& held) {
    return RateLimiter::Promised{.records = held.records, .bytes = held.bytes};
  };
  return parts_.limiter.HasRoom(promised(parts_.spool.held()), size, now) &&
         parts_.limiter.HasRoomFor(uid, promised(parts_.spool.held(uid)), size, now);
}

// Whether the spool has room for a record of `size`; records that wait go for it where that is the
// policy.
bool Admission::MakeRoom(uid_t uid, size_t size) {
  const int64_t max = parts_.settings.spool_max_size;
  const Spool::Bounds bounds{.max_kib = max, .uid_max_kib = IsPrivileged(uid) ? -1 : ShareOf(max)};
  if (parts_.settings.spool_full_policy == SpoolFullPolicy::kDropOldest) {
    while (const auto least = parts_.spool.TakeForRoom(uid, size, bounds)) {
      parts_.finisher.Finish(*least, RecordState::kEvicted, "the spool was full");
    }
  }
  return parts_.spool.HasRoom(uid, size, bounds);
}

Status Admission::TakeOver(const SpoolFileName& name, unsigned severity, std::string_view payload) {
  TELEM_TRY(const WaitingRecord record, parts_.spool.Put(name, severity, header_text_, payload));
  Taken taken{.record = record, .header_size = header_text_.size()};
  if (round_.bytes.size() + header_text_.size() + payload.size() <= kMaxAtHand) {
    taken.is_at_hand = true;
    round_.bytes += header_text_;
    round_.bytes += payload;
  }
  round_.records.push_back(taken);
  return {};
}

FrameStatus Admission::RefuseFor(const Error& error) {
  if (!is_troubled_) Log(LogLevel::kError, error.message + "; its sender is told so");
  is_troubled_ = true;
  if (error.code == ErrorCode::kNoSpace) {
    ++parts_.counters.refused_spool_full;
    return FrameStatus::kSpoolFull;
  }
  ++parts_.counters.refused_io_error;
  return FrameStatus::kIoError;
}

void Admission::AddLine(const IncomingRecord& record, const RecordId& id, RecordState state) {
  const std::string hex = id.ToHex();
  const JournalLine line{.record_id = hex,
                         .time = static_cast<uint64_t>(EpochSeconds(parts_.loop.clock().Now())),
                         .classification = record.headers[Header::kClassification],
                         .event_id = record.headers[Header::kEventId],
                         .boot_id = boot_id_,
                         .severity = SeverityOf(record.headers),
                         .bytes = header_text_.size() + record.payload.size(),
                         .state = state,
                         .detail = {},
                         .uid = record.peer.uid,
                         .pid = static_cast<uint32_t>(record.peer.pid),
                         .comm = CommandOf(record.peer.pid)};
  parts_.journal.Add(line);
  if (state != RecordState::kLocal) return;
  Local& local = round_.local.emplace_back(id);
  AppendJournalLine(local.line, line);
  local.line.pop_back();  // the newline
}

// Who sends many records is asked for its name once a second.
const std::string& Admission::CommandOf(pid_t pid) {
  const MonotonicTime now = parts_.loop.clock().Monotonic();
  if (pid == command_pid_ && now - command_read_ < std::chrono::seconds(1)) return command_;
  std::string path = "/proc/";
  AppendSigned(path, pid);
  path += "/comm";
  const auto comm = ReadFile(path, 256);
  command_ = comm ? std::string(Trim(*comm)) : std::string();
  command_pid_ = pid;
  command_read_ = now;
  return command_;
}

void Admission::EndRound(Intake& intake) {
  if (statuses_syncing_ > 0) return;  // these go first, and their sync is under way
  if (parts_.settings.spool_sync == SpoolSync::kBatch) {
    intake.SendReplies(intake.held());
    if (round_.IsEmpty()) return;
    OfferAll(round_);
    return SyncSoon();
  }
  if (round_.IsEmpty()) return intake.SendReplies(intake.held());
  if (parts_.syncer.IsBusy()) return;
  std::swap(round_, syncing_);
  statuses_syncing_ = intake.held();
  if (const Status started = parts_.syncer.Start(); !started) OnSynced(started, intake);
}

void Admission::SyncSoon() {
  if (!sync_due_.IsSet()) sync_due_.SetAfter(kSyncDelay);
}

void Admission::OnSynced(const Status& result, Intake& intake) {
  if (!result) Log(LogLevel::kError, result.error().message);
  if (statuses_syncing_ == 0) return;
  const size_t count = std::exchange(statuses_syncing_, 0);
  if (result) {
    intake.SendReplies(count);
    return OfferAll(syncing_);
  }
  DropAll(syncing_, result.error().message);
  intake.SendReplies(count, FrameStatus::kIoError);
}

void Admission::DropAll(Group& group, std::string_view why) {
  parts_.counters.refused_io_error += group.records.size() + group.local.size();
  for (const Taken& taken : group.records) parts_.finisher.Drop(taken.record, why);
  for (const Local& local : group.local) {
    parts_.retention.Remove(local.id);
    auto line = ParseJournalLine(local.line);
    line->state = RecordState::kDropped;
    line->detail = why;
    parts_.journal.Add(*line);
  }
  group.Clear();
}

void Admission::OfferAll(Group& group) {
  parts_.counters.accepted += group.local.size();
  parts_.counters.local += group.local.size();
  std::string_view bytes = group.bytes;
  for (const Taken& taken : group.records) {
    ++parts_.counters.accepted;
    if (!taken.is_at_hand) {
      parts_.delivery.OfferFromFile(taken.record);
      continue;
    }
    const std::string_view record =
        bytes.substr(0, taken.header_size + taken.record.name.payload_size);
    parts_.delivery.Offer(taken.record, record.substr(0, taken.header_size),
                          record.substr(taken.header_size));
    bytes.remove_prefix(record.size());
  }
  group.Clear();
}

void Admission::Group::Clear() {
  records.clear();
  local.clear();
  bytes.clear();
  // A burst must not be paid for by a machine at rest.
  if (records.capacity() > 64) records.shrink_to_fit();
  if (local.capacity() > 64) local.shrink_to_fit();
  if (bytes.capacity() > 16 * 1024) bytes.shrink_to_fit();
}

}  // namespace telem
