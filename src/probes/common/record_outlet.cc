#include "probes/common/record_outlet.h"

#include <cstdlib>
#include <memory>

#include "config/consent.h"
#include "ipc/unix_socket.h"
#include "record/headers.h"
#include "telemetry.h"

namespace telem {
namespace {

constexpr uint32_t kPayloadVersion = 1;

struct FreeRecord {
  void operator()(telem_ref* ref) const { tm_free_record(ref); }
};

}  // namespace

Result<bool> TakeProbeOption(int letter, const char* argument, ProbeOptions& options) {
  switch (letter) {
    case 'n':
      options.post = false;
      return true;
    case kJsonOption:
      options.json = true;
      return true;
    case kSampleOption:
      options.sample = true;
      options.post = false;
      return true;
    case 'f': {
      TELEM_TRY(options.config_file, FindConfigFile(argument));
      return true;
    }
    case 'h':
      options.help = true;
      return true;
    case 'V':
      options.version = true;
      return true;
    default:
      return false;
  }
}

Status CheckProbeOptions(const ProbeOptions& options) {
  if (options.json && options.post) {
    return Fail(ErrorCode::kInvalid, "--json goes with -n/--no-post only");
  }
  return {};
}

bool IsHopeless(const Error& error) {
  return error.code == ErrorCode::kInvalid || error.code == ErrorCode::kTooLarge;
}

Result<RecordOutlet> RecordOutlet::Open(const ProbeOptions& options) {
  if (!options.config_file.empty()) tm_set_config_file(options.config_file.c_str());
  TELEM_TRY(LoadedSettings loaded, LoadSettings(options.config_file));
  return RecordOutlet(options, std::move(loaded.settings));
}

bool RecordOutlet::IsWanted() const { return !options_.post || tm_is_opted_in() != 0; }

Status RecordOutlet::Hand(const ProbeRecord& record) const {
  const std::string classification = settings_.classification_domain + '/' + record.classification;
  std::string payload = record.payload.substr(0, kMaxPayload);
  for (char& c : payload) {
    if (c == '\0') c = '?';
  }
  telem_ref* ref = nullptr;
  int error = tm_create_record(&ref, record.severity, classification.c_str(), kPayloadVersion);
  const std::unique_ptr<telem_ref, FreeRecord> owner(ref);
  if (error == 0 && !record.event_id.empty()) {
    error = tm_set_event_id(ref, record.event_id.c_str());
  }
  if (error == 0) error = tm_set_payload(ref, payload.c_str());
  if (error != 0) return SystemError("cannot make the record", -error);
  if (!options_.post) {
    return ShowRecord(*ref, options_.json ? RecordForm::kJson : RecordForm::kText);
  }
  error = tm_send_record(ref);
  if (error != 0) return Fail(CodeFromErrno(-error), ExplainSendError(error));
  return {};
}

void RecordOutlet::EnsureConsentStart() const {
  if (!options_.post || ReadConsentSince(settings_)) return;
  // A telemd that is away notes it when it comes.
  (void)ConnectWithoutWaiting(settings_.socket_path);
}

bool RecordOutlet::IsBeforeConsent(std::chrono::sys_seconds when) const {
  return options_.post && when < ReadConsentStart(settings_, opened_);
}

bool RecordOutlet::HasHanded(std::string_view event_id) const {
  return Remembered().CountInJournal(event_id) > 0;
}

Status RecordOutlet::HandOnce(const ProbeRecord& record) const {
  if (!options_.post) return Hand(record);
  return Remembered().SendOnce(record.event_id + record.aspect, record.event_id,
                               [&] { return Hand(record); });
}

Status RecordOutlet::NoteGivenUp(const std::string& id) const {
  return Remembered().SendOnce(id, "", [] { return Status(); });
}

Result<bool> RecordOutlet::WasGivenUp(const std::string& id) const {
  if (!options_.post) return false;
  return Remembered().Has(id);
}

SentEvents RecordOutlet::Remembered() const {
  return {settings_.cache_dir + "/sent-events", settings_.log_dir + "/journal"};
}

}  // namespace telem
