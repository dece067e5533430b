#include "client/record_builder.h"

#include <algorithm>
#include <chrono>

#include "base/random.h"
#include "base/text.h"
#include "record/classification.h"
#include "record/headers.h"
#include "record/record_id.h"

namespace telem {
namespace {

// What stands in the frame where the daemon puts the machine id.
constexpr std::string_view kNoMachineId = "FFFFFFFF";

std::string MakeEventId() {
  // From the kernel each time: bytes kept ready in the process would come again after a fork.
  unsigned char bytes[kHexIdSize / 2];
  FillRandom(bytes, sizeof bytes);
  std::string id;
  id.reserve(kHexIdSize);
  AppendHex(id, bytes, sizeof bytes);
  return id;
}

}  // namespace

Result<RecordBuilder> RecordBuilder::Create(uint32_t severity, std::string_view classification,
                                            uint32_t payload_version, const HostFacts& host,
                                            WallTime now) {
  if (!IsValidClassification(classification)) {
    return Fail(ErrorCode::kInvalid, "classification is not DOMAIN/PROBE/REST");
  }
  RecordBuilder record(host);
  record.classification_ = classification;
  record.event_id_ = MakeEventId();
  record.created_ = EpochSeconds(now);
  record.payload_version_ = payload_version;
  record.severity_ = std::clamp<uint32_t>(severity, 1, 4);
  return record;
}

Status RecordBuilder::SetEventId(std::string_view event_id) {
  if (!IsLowerHex(event_id, kHexIdSize)) {
    return Fail(ErrorCode::kInvalid, "event id is not 32 lower-case hex digits");
  }
  event_id_ = event_id;
  return {};
}

Status RecordBuilder::SetPayload(std::string_view payload) {
  if (payload.size() > kMaxPayload) return Fail(ErrorCode::kTooLarge, "payload too large");
  payload_ = payload;
  return {};
}

std::string RecordBuilder::HeaderText() const {
  std::string severity;
  std::string created;
  std::string payload_version;
  AppendUnsigned(severity, severity_);
  AppendSigned(created, created_);
  AppendUnsigned(payload_version, payload_version_);

  HeaderViews headers;
  headers[Header::kRecordFormatVersion] = kRecordFormatVersion;
  headers[Header::kClassification] = classification_;
  headers[Header::kSeverity] = severity;
  headers[Header::kMachineId] = kNoMachineId;
  headers[Header::kCreationTimestamp] = created;
  headers[Header::kArch] = host_->arch;
  headers[Header::kHostType] = host_->host_type;
  headers[Header::kBuild] = host_->build;
  headers[Header::kKernelVersion] = host_->kernel_version;
  headers[Header::kPayloadFormatVersion] = payload_version;
  headers[Header::kSystemName] = host_->system_name;
  headers[Header::kBoardName] = host_->board_name;
  headers[Header::kCpuModel] = host_->cpu_model;
  headers[Header::kBiosVersion] = host_->bios_version;
  headers[Header::kEventId] = event_id_;
  std::string text;
  text.reserve(1024);
  AppendHeaders(text, headers);
  return text;
}

}  // namespace telem
