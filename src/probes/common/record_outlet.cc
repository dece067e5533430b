#include "probes/common/record_outlet.h"

#include <cstdlib>
#include <memory>

#include "config/consent.h"
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

bool RecordOutlet::IsBeforeConsent(std::chrono::sys_seconds when) const {
  if (!options_.post) return false;
  const auto since = ReadConsentSince(settings_);
  return since && when < *since;
}

SentEvents RecordOutlet::Events() const {
  return SentEvents(settings_.cache_dir + "/sent-events", settings_.log_dir + "/journal");
}

bool RecordOutlet::HasHanded(std::string_view event_id) const {
  return Events().IsInJournal(event_id);
}

Status RecordOutlet::HandOnce(const ProbeRecord& record) const {
  if (!options_.post) return Hand(record);
  const SentEvents events = Events();
  // The journal knows events, not aspects of them.
  const std::string_view in_journal = record.aspect.empty() ? record.event_id : std::string_view();
  return events.SendOnce(record.event_id + record.aspect, in_journal, [&] { return Hand(record); });
}

}  // namespace telem
