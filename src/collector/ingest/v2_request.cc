#include "collector/ingest/v2_request.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/text.h"
#include "record/classification.h"
#include "record/http_codec.h"

namespace telem {
namespace {

using std::chrono::seconds;

// Before 2000 a clock was never set; a client that is more than a day ahead would sort above
// everything that comes after it.
constexpr uint64_t kEarliest = 946'684'800;
constexpr uint64_t kAhead = 86'400;

std::unexpected<Error> Bad(Header header, std::string_view what) {
  std::string message(NameOf(header));
  message += ": ";
  message += what;
  return Fail(ErrorCode::kInvalid, std::move(message));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

template <typename Predicate>
bool All(std::string_view text, Predicate predicate) {
  return !text.empty() && std::all_of(text.begin(), text.end(), predicate);
}

// Values of os-release come with the quotes that stand there.
std::string_view WithoutQuotes(std::string_view value) {
  const auto is_quote = [](char c) { return c == '"' || c == '\''; };
  while (!value.empty() && is_quote(value.front())) value.remove_prefix(1);
  while (!value.empty() && is_quote(value.back())) value.remove_suffix(1);
  return value;
}

// So that a number has one spelling, and copies of a record are seen to be copies.
std::string_view WithoutLeadingZeros(std::string_view digits) {
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  return digits;
}

// "6.1", "6.1.0-28-amd64": two numbers with a dot between, then anything.
bool IsKernelVersion(std::string_view value) {
  const size_t dot = value.find('.');
  return dot != std::string_view::npos && All(value.substr(0, dot), IsDigit) &&
         dot + 1 < value.size() && IsDigit(value[dot + 1]);
}

Status CheckTid(std::span<const HttpField> fields, const std::vector<std::string>& tids) {
  const auto field = std::find_if(fields.begin(), fields.end(), [](const HttpField& f) {
    return SameHttpName(f.name, kTidHeader);
  });
  if (field == fields.end()) {
    return Fail(ErrorCode::kInvalid, std::string(kTidHeader) + ": missing");
  }
  if (std::find(tids.begin(), tids.end(), Trim(field->value)) == tids.end()) {
    return Fail(ErrorCode::kInvalid,
                std::string(kTidHeader) + ": not a telemetry id that is accepted here");
  }
  return {};
}

Result<HeaderViews> CollectHeaders(std::span<const HttpField> fields) {
  HeaderViews headers;
  for (const HttpField& field : fields) {
    const std::optional<Header> header = FindHeaderByHttpName(field.name);
    if (!header) continue;
    if (IsPresent(headers[*header])) return Bad(*header, "given twice");
    const std::string_view value = Trim(field.value);
    if (value.empty()) return Bad(*header, "empty");
    if (value.size() > MaxValue(*header)) {
      return Bad(*header, *header == Header::kHostType ? "longer than 249 characters"
                                                       : "longer than 199 characters");
    }
    if (!IsPrintableAscii(value)) return Bad(*header, "not printable ASCII");
    headers[*header] = value;
  }
  return headers;
}

Status CheckPresence(const HeaderViews& headers) {
  const std::string_view version = headers[Header::kRecordFormatVersion];
  if (!IsPresent(version)) return Bad(Header::kRecordFormatVersion, "missing");
  if (version.size() != 1 || version[0] < '1' || version[0] > '4') {
    return Bad(Header::kRecordFormatVersion, "not 1, 2, 3 or 4");
  }
  for (size_t i = 0; i < kHeaderCount; ++i) {
    const Header header = static_cast<Header>(i);
    if (!IsPresent(headers[header]) && IsRequired(header, version[0] - '0')) {
      return Bad(header, "missing");
    }
  }
  return {};
}

Result<uint64_t> CheckTimestamp(std::string_view value, WallTime now) {
  const std::optional<uint64_t> timestamp = ParseUnsigned(value);
  if (!timestamp) return Bad(Header::kCreationTimestamp, "not seconds since the epoch");
  if (*timestamp < kEarliest) return Bad(Header::kCreationTimestamp, "before the year 2000");
  const auto since_epoch = std::chrono::duration_cast<seconds>(now.time_since_epoch());
  if (*timestamp > static_cast<uint64_t>(since_epoch.count()) + kAhead) {
    return Bad(Header::kCreationTimestamp, "more than a day in the future");
  }
  return *timestamp;
}

// The values that have rules of their own; absent ones have none.
Status CheckValues(const HeaderViews& headers) {
  if (!IsValidClassification(headers[Header::kClassification])) {
    return Bad(Header::kClassification,
               "not DOMAIN/PROBE/REST, each part of 1 to 40 printable characters");
  }
  const std::string_view severity = headers[Header::kSeverity];
  if (severity.size() != 1 || severity[0] < '1' || severity[0] > '4') {
    return Bad(Header::kSeverity, "not 1, 2, 3 or 4");
  }
  if (headers[Header::kMachineId].size() > 32) {
    return Bad(Header::kMachineId, "longer than 32 characters");
  }
  const std::string_view arch = headers[Header::kArch];
  if (arch.size() > 32 || !All(arch, [](char c) { return IsLower(c) || IsDigit(c) || c == '_'; })) {
    return Bad(Header::kArch, "not 1 to 32 of a-z, 0-9 and _");
  }
  if (!IsKernelVersion(headers[Header::kKernelVersion])) {
    return Bad(Header::kKernelVersion, "not NUMBER.NUMBER…");
  }
  const std::optional<uint64_t> payload_version =
      ParseUnsigned(headers[Header::kPayloadFormatVersion]);
  if (!payload_version || *payload_version > UINT32_MAX) {
    return Bad(Header::kPayloadFormatVersion, "not a number from 0 to 4294967295");
  }
  if (headers[Header::kSystemName].empty()) return Bad(Header::kSystemName, "empty");
  const std::string_view build = headers[Header::kBuild];
  if (!All(build, [](char c) {
        return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '-' || c == '_' || c == '.';
      })) {
    return Bad(Header::kBuild, "not of A-Z, a-z, 0-9, '-', '_' and '.'");
  }
  if (headers[Header::kSystemName] == "clear-linux-os" && !All(build, IsDigit)) {
    return Bad(Header::kBuild, "not a number, which clear-linux-os has");
  }
  const std::string_view event_id = headers[Header::kEventId];
  if (IsPresent(event_id) && !IsLowerHex(event_id, 32)) {
    return Bad(Header::kEventId, "not 32 digits of 0123456789abcdef");
  }
  return {};
}

}  // namespace

bool IsRequired(Header header, int format_version) {
  switch (header) {
    case Header::kEventId:
      return format_version >= 4;
    case Header::kBoardName:
    case Header::kCpuModel:
    case Header::kBiosVersion:
      return format_version >= 3;
    case Header::kHostType:
      return format_version >= 2;
    default:
      return true;
  }
}

Result<IncomingRecord> ReadV2Request(std::span<const HttpField> fields, std::string_view body,
                                     const std::vector<std::string>& tids, WallTime now) {
  TELEM_CHECK(CheckTid(fields, tids));
  IncomingRecord record;
  record.payload = body;
  record.received = now;
  TELEM_TRY(record.headers, CollectHeaders(fields));
  HeaderViews& headers = record.headers;
  TELEM_CHECK(CheckPresence(headers));
  for (const Header header : {Header::kSystemName, Header::kBuild}) {
    headers[header] = Trim(WithoutQuotes(headers[header]));
  }
  TELEM_TRY(record.creation_timestamp, CheckTimestamp(headers[Header::kCreationTimestamp], now));
  TELEM_CHECK(CheckValues(headers));
  for (const Header header : {Header::kCreationTimestamp, Header::kPayloadFormatVersion}) {
    headers[header] = WithoutLeadingZeros(headers[header]);
  }
  return record;
}

}  // namespace telem
