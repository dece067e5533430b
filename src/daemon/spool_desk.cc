#include "daemon/spool_desk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/flat_json.h"
#include "base/text.h"
#include "store/journal_ids.h"
#include "store/journal_search.h"

namespace telem {
namespace {

// So many records are looked at before senders get their turn again.
constexpr size_t kStep = 20;

// Who sent a record on another machine, and under which boot, is not known here.
constexpr std::string_view kNoBootId = "00000000-0000-0000-0000-000000000000";

constexpr const char* kEnd = "{\"end\": true}\n";

// Names of foreign files as they come back from a client that was told them.
std::string AsJsonText(std::string_view name) {
  const auto values = ParseFlatJson(FlatJsonWriter().Add("name", name).Finish());
  return values ? values->at("name") : std::string();
}

// A record's bytes in pieces, out of a file that may be given up meanwhile.
bool TellBytes(int file, std::string& out) {
  std::string bytes(kMaxControlPiece, '\0');
  ssize_t n;
  do {
    n = ::read(file, bytes.data(), bytes.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    out += FlatJsonWriter().Add("error", SystemError("read", errno).error().message).Finish();
    out += '\n';
    return false;
  }
  if (n == 0) {
    out += kEnd;
    return false;
  }
  out += R"({"data": ")";
  AppendHex(out, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<size_t>(n));
  out += "\"}\n";
  return true;
}

std::function<bool(std::string&)> TellOnce(FlatJsonWriter& json) {
  return [line = json.Finish() + "\n"](std::string& out) {
    out += line;
    return false;
  };
}

std::function<bool(std::string&)> TellFile(std::string_view name, UniqueFd opened) {
  struct stat st{};
  ::fstat(opened.get(), &st);
  std::string head =
      FlatJsonWriter().Add("name", name).Add("bytes", static_cast<int64_t>(st.st_size)).Finish() +
      "\n";
  // A function can be copied, a descriptor cannot.
  const auto file = std::make_shared<UniqueFd>(std::move(opened));
  return [file, head](std::string& out) mutable {
    out += std::exchange(head, {});
    return TellBytes(file->get(), out);
  };
}

// What a list tells of what is in a record's file; nothing where it does not parse.
void AddContents(FlatJsonWriter& json, const Result<std::string>& bytes) {
  const auto parts = bytes ? ParseSpoolFile(*bytes) : std::unexpected(bytes.error());
  if (!parts) {
    json.AddNull("classification").AddNull("severity").AddNull("bytes");
    return;
  }
  json.Add("classification", parts->headers[Header::kClassification])
      .Add("severity", static_cast<int64_t>(SeverityOf(parts->headers)))
      .Add("bytes", static_cast<int64_t>(parts->header_text.size() + parts->payload.size()));
}

std::unexpected<Error> NoSuchRecord(const char* where) {
  return Fail(ErrorCode::kNotFound, std::string("no such record ") + where);
}

}  // namespace

SpoolDesk::SpoolDesk(const Parts& parts, const Peer& peer) : parts_(parts), peer_(peer) {}

void SpoolDesk::Begin(const ControlRequest& request) {
  auto served = Serve(request);
  if (served) {
    teller_ = std::move(*served);
    return;
  }
  FlatJsonWriter json;
  json.Add("error", served.error().message);
  if (served.error().code == ErrorCode::kNotFound) json.Add("not_found", true);
  if (served.error().code == ErrorCode::kNoSpace) json.Add("no_space", true);
  teller_ = TellOnce(json);
}

bool SpoolDesk::Next(std::string& out) { return teller_(out); }

Result<SpoolDesk::Teller> SpoolDesk::Serve(const ControlRequest& request) {
  switch (request.command) {
    case ControlCommand::kStatus:
      return [this](std::string& out) {
        out += parts_.status.MakeStatus() + "\n";
        return false;
      };
    case ControlCommand::kSpoolList:
      return ListWaiting();
    case ControlCommand::kSpoolShow:
      return ShowWaiting(request.name);
    case ControlCommand::kSpoolDrop:
      return DropWaiting(request.name, request.reason);
    case ControlCommand::kSpoolFlush:
      return Flush();
    case ControlCommand::kSpoolImport:
      return Import(request);
    case ControlCommand::kRejectedList:
      return ListRejected();
    case ControlCommand::kRejectedShow:
      return ShowRejected(request.name);
    case ControlCommand::kRejectedRetry:
      return RetryRejected(request.name);
    case ControlCommand::kRejectedDrop:
      return DropRejected(request.name);
    case ControlCommand::kJournalShow:
      return ShowJournaled(request.name);
  }
  return Fail(ErrorCode::kInvalid, "unknown command");
}

// ---- records that wait

Result<SpoolDesk::Teller> SpoolDesk::ListWaiting() {
  TELEM_TRY(UniqueFd list, OpenAt(parts_.spool.folder_fd(), ".", O_RDONLY | O_DIRECTORY));
  const std::shared_ptr<DIR> folder(::fdopendir(list.get()), CloseDir());
  if (folder == nullptr) return SystemError("list the spool", errno);
  (void)list.Release();
  return [this, folder](std::string& out) { return ListSomeWaiting(folder.get(), out); };
}

// The folder and not the list in memory: it can be read on where it was left, whatever came and
// went since. In no order; what comes or goes meanwhile may be told or not.
bool SpoolDesk::ListSomeWaiting(DIR* folder, std::string& out) {
  for (size_t i = 0; i < kStep; ++i) {
    const dirent* entry = ::readdir(folder);
    if (entry == nullptr) {
      out += kEnd;
      return false;
    }
    // Names of any other form are no record's yet.
    if (const auto name = ParseSpoolFileName(entry->d_name)) TellWaiting(*name, out);
  }
  return true;
}

void SpoolDesk::TellWaiting(const SpoolFileName& name, std::string& out) {
  const Delivery::Progress progress = parts_.delivery.ProgressOf(name.id);
  if (progress.standing == Delivery::Standing::kFinished) return;
  const auto file =
      OpenAt(parts_.spool.folder_fd(), name.ToText(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && file.error().code == ErrorCode::kNotFound) return;  // gone meanwhile
  const char* state = "waiting";
  if (progress.standing == Delivery::Standing::kUnderWay) state = "under way";
  if (progress.standing == Delivery::Standing::kFailed) state = "failed";
  FlatJsonWriter json;
  json.Add("id", name.id.ToHex())
      .Add("time", EpochSeconds(name.id.Time()))
      .Add("uid", static_cast<int64_t>(name.uid));
  AddContents(json, file ? ReadAll(file->get(), kMaxSpoolFile) : std::unexpected(file.error()));
  json.Add("state", state).Add("attempts", static_cast<int64_t>(progress.failures));
  if (progress.next) {
    json.Add("next", EpochSeconds(WallTimeAt(parts_.loop.clock(), *progress.next)));
  } else {
    json.AddNull("next");
  }
  out += json.Finish() + "\n";
}

Result<SpoolDesk::Teller> SpoolDesk::ShowWaiting(const std::string& id) {
  const auto record = parts_.delivery.Find(*ParseRecordId(id));
  if (!record) return NoSuchRecord("waits");
  const std::string name = record->name.ToText();
  auto file = OpenAt(parts_.spool.folder_fd(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && file.error().code == ErrorCode::kNotFound) return NoSuchRecord("waits");
  if (!file) return std::unexpected(file.error());
  return TellFile(name, std::move(*file));
}

Result<SpoolDesk::Teller> SpoolDesk::DropWaiting(const std::string& id, std::string_view reason) {
  if (!parts_.delivery.Evict(*ParseRecordId(id), ByHand(reason.empty() ? "dropped" : reason))) {
    return NoSuchRecord("waits");
  }
  return TellOnce(FlatJsonWriter().Add("result", "dropped"));
}

Result<SpoolDesk::Teller> SpoolDesk::Flush() {
  TELEM_CHECK(CheckMaySend());
  parts_.delivery.TryNow();
  const size_t waiting = parts_.spool.waiting() + parts_.delivery.not_in_spool_list();
  return TellOnce(FlatJsonWriter().Add("waiting", static_cast<int64_t>(waiting)));
}

Result<SpoolDesk::Teller> SpoolDesk::Import(const ControlRequest& request) {
  imported_ += request.data;
  if (imported_.size() > kMaxSpoolFile) {
    imported_.clear();
    return Fail(ErrorCode::kTooLarge, "larger than a record can be");
  }
  if (request.has_more) return TellOnce(FlatJsonWriter().Add("result", "more"));
  const std::string bytes = std::exchange(imported_, {});

  const SpoolFileName sent_as = *ParseSpoolFileName(request.name);
  TELEM_TRY(const SpoolFileParts parts, ParseSpoolFile(bytes, sent_as.payload_size));
  TELEM_CHECK(CheckMaySend());
  TELEM_TRY(const bool is_known, IsKnown(sent_as));
  if (is_known) return TellOnce(FlatJsonWriter().Add("result", "known"));
  if (parts_.delivery.IsExpired(sent_as.id)) {
    return TellOnce(FlatJsonWriter().Add("result", "expired"));
  }
  if (!parts_.spool.HasRoom(peer_.uid, bytes.size() - 1,
                            {.max_kib = parts_.settings.spool_max_size, .uid_max_kib = -1})) {
    return Fail(ErrorCode::kNoSpace, "the spool is full (spool_max_size)");
  }
  // Who imports it answers for it here: a uid of another machine means nothing on this one.
  const SpoolFileName name{sent_as.id, peer_.uid, sent_as.payload_size};
  TELEM_TRY(const WaitingRecord record,
            parts_.spool.Put(name, SeverityOf(parts.headers), parts.header_text, parts.payload));
  known_->insert(name.id);
  ++parts_.counters.accepted;
  LetWait(record, parts, "imported");
  return TellOnce(FlatJsonWriter().Add("result", "taken"));
}

// Whether the record is here, or was: in the spool, in the journal, among the rejected ones.
Result<bool> SpoolDesk::IsKnown(const SpoolFileName& name) {
  if (!known_) {
    TELEM_TRY(const auto journaled, ReadJournalIds(parts_.settings.log_dir + "/journal"));
    TELEM_TRY(const auto rejected, parts_.spool.rejected().List());
    known_.emplace(journaled.begin(), journaled.end());
    for (const RejectedFolder::File& file : rejected) {
      if (const auto rejected_name = ParseSpoolFileName(file.name)) {
        known_->insert(rejected_name->id);
      }
    }
  }
  if (known_->contains(name.id)) return true;
  for (const uint32_t uid : {name.uid, peer_.uid}) {
    const std::string file = SpoolFileName{name.id, uid, name.payload_size}.ToText();
    struct stat st;
    if (::fstatat(parts_.spool.folder_fd(), file.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
      return true;
    }
  }
  return false;
}

// ---- records that were rejected

Result<SpoolDesk::Teller> SpoolDesk::ListRejected() {
  TELEM_TRY(auto files, parts_.spool.rejected().List());
  return [this, files = std::move(files), told = size_t{0}](std::string& out) mutable {
    for (size_t i = 0; i < kStep; ++i) {
      if (told == files.size()) {
        out += kEnd;
        return false;
      }
      TellRejected(files[told++], out);
    }
    return true;
  };
}

void SpoolDesk::TellRejected(const RejectedFolder::File& file, std::string& out) {
  FlatJsonWriter json;
  json.Add("name", file.name);
  const auto name = ParseSpoolFileName(file.name);
  if (name) {
    json.Add("id", name->id.ToHex()).Add("uid", static_cast<int64_t>(name->uid));
  } else {
    json.AddNull("id").AddNull("uid");
  }
  json.Add("time", file.time);
  AddContents(json, parts_.spool.rejected().Read(file.name));
  // "413 too large" where the server has spoken, else telemd's own words.
  std::string_view reason = file.reason;
  const auto code = ParseUnsigned(reason.substr(0, 3));
  if (code && *code >= 100 && reason.substr(3, 1) == " ") {
    json.Add("code", static_cast<int64_t>(*code));
    reason.remove_prefix(4);
  } else {
    json.AddNull("code");
  }
  json.Add("reason", Trim(reason));
  out += json.Finish() + "\n";
}

Result<RejectedFolder::File> SpoolDesk::FindRejected(const std::string& name) {
  TELEM_TRY(const auto files, parts_.spool.rejected().List());
  const auto at = std::find_if(files.begin(), files.end(), [&](const RejectedFolder::File& file) {
    return AsJsonText(file.name) == name;
  });
  if (at == files.end()) return NoSuchRecord("is among the rejected ones");
  return *at;
}

Result<SpoolDesk::Teller> SpoolDesk::ShowRejected(const std::string& name) {
  TELEM_TRY(const auto file, FindRejected(name));
  TELEM_TRY(UniqueFd opened, parts_.spool.rejected().OpenFile(file.name));
  return TellFile(file.name, std::move(opened));
}

Result<SpoolDesk::Teller> SpoolDesk::RetryRejected(const std::string& wanted) {
  TELEM_TRY(const auto file, FindRejected(wanted));
  const auto name = ParseSpoolFileName(file.name);
  if (!name) return Fail(ErrorCode::kInvalid, "that file is no record and cannot be sent");
  TELEM_TRY(const std::string bytes, parts_.spool.rejected().Read(file.name));
  const auto parts = ParseSpoolFile(bytes, name->payload_size);
  if (!parts) return WithContext("that file cannot be sent", parts.error());
  TELEM_CHECK(CheckMaySend());
  if (parts_.delivery.IsExpired(name->id)) {
    return Fail(ErrorCode::kInvalid, "it is older than record_expiry, so it would not be sent");
  }
  if (!parts_.spool.HasRoom(peer_.uid, bytes.size() - 1,
                            {.max_kib = parts_.settings.spool_max_size, .uid_max_kib = -1})) {
    return Fail(ErrorCode::kNoSpace, "the spool is full (spool_max_size)");
  }
  TELEM_TRY(const WaitingRecord record, parts_.spool.TakeBack(file.name, *name, bytes.size()));
  LeaveRejected();
  LetWait(record, *parts, "retried");
  return TellOnce(FlatJsonWriter().Add("result", "retried"));
}

Result<SpoolDesk::Teller> SpoolDesk::DropRejected(const std::string& wanted) {
  TELEM_TRY(const auto file, FindRejected(wanted));
  const auto bytes = parts_.spool.rejected().Read(file.name);
  if (const auto name = ParseSpoolFileName(file.name)) {
    const auto parts =
        bytes ? ParseSpoolFile(*bytes, name->payload_size) : std::unexpected(bytes.error());
    AddLine(*name, parts ? parts->headers : HeaderViews(), bytes ? bytes->size() - 1 : 0,
            RecordState::kEvicted, ByHand("dropped"));
  }
  TELEM_CHECK(parts_.spool.rejected().Remove(file.name));
  LeaveRejected();
  ++parts_.counters.evicted;
  return TellOnce(FlatJsonWriter().Add("result", "dropped"));
}

// ---- what became of them

Result<SpoolDesk::Teller> SpoolDesk::ShowJournaled(const std::string& event_id) {
  auto opened = JournalSearch::Open(parts_.settings.log_dir + "/journal", event_id);
  if (!opened && opened.error().code == ErrorCode::kNotFound) return NoSuchRecord("is journaled");
  if (!opened) return std::unexpected(opened.error());
  // A function can be copied, a descriptor cannot.
  const auto search = std::make_shared<JournalSearch>(std::move(*opened));
  return [search](std::string& out) {
    const auto more = search->ReadSome();
    if (more && *more) return true;
    FlatJsonWriter json;
    if (!more) {
      json.Add("error", more.error().message);
    } else if (const auto& found = search->found()) {
      json.Add("id", found->record_id).Add("time", static_cast<int64_t>(found->time));
      if (found->state) {
        json.Add("state", NameOf(*found->state));
      } else {
        json.AddNull("state");
      }
      json.Add("detail", found->detail);
    } else {
      json.Add("error", NoSuchRecord("is journaled").error().message).Add("not_found", true);
    }
    out += json.Finish() + "\n";
    return false;
  };
}

// ---- what they share

Status SpoolDesk::CheckMaySend() const {
  if (!parts_.consent.IsGiven()) {
    return Fail(ErrorCode::kDenied, "nothing is collected or sent: opted out");
  }
  if (!parts_.delivery.IsOn()) {
    return Fail(ErrorCode::kInvalid,
                "nothing is sent from here: no server is set, or delivery is switched off");
  }
  return {};
}

void SpoolDesk::LetWait(const WaitingRecord& record, const SpoolFileParts& parts,
                        const char* what) {
  AddLine(record.name, parts.headers, parts.header_text.size() + parts.payload.size(),
          RecordState::kSpooled, ByHand(what));
  WaitingRecord known = record;
  known.since = parts_.spool.SinceOf(record.id().Time());
  known.SetSeverity(SeverityOf(parts.headers));
  parts_.spool.PutBack(known);
  parts_.admission.SyncSoon();
}

// A record is not rejected any more. One that an earlier telemd rejected was not counted by this
// one; then it is as if it had been found.
void SpoolDesk::LeaveRejected() {
  if (parts_.counters.rejected > 0) {
    --parts_.counters.rejected;
  } else {
    ++parts_.counters.found;
  }
}

void SpoolDesk::AddLine(const SpoolFileName& name, const HeaderViews& headers, size_t bytes,
                        RecordState state, std::string_view detail) {
  const std::string id = name.id.ToHex();
  // The journal tells when things happened here; when the record was made stands in the record.
  const WallTime now = parts_.loop.clock().Now();
  parts_.journal.Add({.record_id = id,
                      .time = static_cast<uint64_t>(EpochSeconds(now)),
                      .classification = headers[Header::kClassification],
                      .event_id = headers[Header::kEventId],
                      .boot_id = kNoBootId,
                      .severity = headers[Header::kSeverity].empty() ? 0 : SeverityOf(headers),
                      .bytes = bytes,
                      .state = state,
                      .detail = detail,
                      .uid = name.uid});
}

// "dropped by uid 0"
std::string SpoolDesk::ByHand(std::string_view what) const {
  std::string text(what);
  text += " by uid ";
  AppendUnsigned(text, peer_.uid);
  return text;
}

}  // namespace telem
