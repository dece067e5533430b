#include "deliver/otlp_protocol.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/flat_json.h"
#include "base/text.h"
#include "deliver/gzip.h"
#include "record/headers.h"

namespace telem {
namespace {

constexpr size_t kCompressAbove = 1024;

// What OpenTelemetry calls architectures, where it has a name of its own for what uname(2) says
// (semantic conventions, host.arch).
constexpr std::pair<std::string_view, std::string_view> kArchitectures[] = {
    {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i386", "x86"},      {"i486", "x86"},
    {"i586", "x86"},     {"i686", "x86"},      {"armv6l", "arm32"},  {"armv7l", "arm32"},
    {"ppc", "ppc32"},    {"ppc64", "ppc64"},   {"ppc64le", "ppc64"},
};

std::string_view ArchitectureOf(std::string_view arch) {
  for (const auto& [ours, theirs] : kArchitectures) {
    if (arch == ours) return theirs;
  }
  return arch;
}

// os-release allows quotes around its values, and the headers keep them.
std::string_view WithoutQuotes(std::string_view value) {
  for (const char quote : {'"', '\''}) {
    if (value.size() >= 2 && value.front() == quote && value.back() == quote) {
      return value.substr(1, value.size() - 2);
    }
  }
  return value;
}

// Nanoseconds since the epoch in decimal, or 0 (unknown) where 64 bits do not hold them.
std::string Nanoseconds(uint64_t value, uint64_t in_a_unit) {
  std::string text;
  AppendUnsigned(text, value > UINT64_MAX / in_a_unit ? 0 : value * in_a_unit);
  return text;
}

std::string Base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t k = 0; k < 3; ++k) {
      three <<= 8;
      if (i + k < bytes.size()) three |= static_cast<unsigned char>(bytes[i + k]);
    }
    for (size_t k = 0; k < 4; ++k) {
      // A digit that holds no bit of the bytes is padding.
      text += i + k <= bytes.size() ? kDigits[(three >> (18 - 6 * k)) & 63] : '=';
    }
  }
  return text;
}

using Attributes = std::vector<std::pair<const char*, std::string_view>>;

// "attributes":[…], each a string.
void AppendAttributes(std::string& out, const Attributes& attributes) {
  out += "\"attributes\":[";
  for (const auto& [key, value] : attributes) {
    if (!out.ends_with('[')) out += ',';
    out += "{\"key\":";
    AppendJsonString(out, key);
    out += ",\"value\":{\"stringValue\":";
    AppendJsonString(out, value);
    out += "}}";
  }
  out += ']';
}

std::string ResourceOf(const HeaderViews& headers) {
  const std::string_view build = WithoutQuotes(headers[Header::kBuild]);
  std::string out = "{";
  AppendAttributes(out, {
                            {"service.name", "telemetrics"},
                            {"host.id", headers[Header::kMachineId]},
                            {"host.arch", ArchitectureOf(headers[Header::kArch])},
                            {"host.cpu.model.name", headers[Header::kCpuModel]},
                            {"os.type", "linux"},
                            {"os.name", WithoutQuotes(headers[Header::kSystemName])},
                            {"os.version", build},
                            {"os.build_id", build},
                            {"telemetry.host_type", headers[Header::kHostType]},
                            {"telemetry.board_name", headers[Header::kBoardName]},
                            {"telemetry.bios_version", headers[Header::kBiosVersion]},
                            {"telemetry.kernel_version", headers[Header::kKernelVersion]},
                        });
  out += '}';
  return out;
}

void AppendLogRecord(std::string& out, const OutgoingRecord& record, const HeaderViews& headers) {
  const auto observed = static_cast<uint64_t>(record.id.Time().time_since_epoch().count());
  const uint64_t created = ParseUnsigned(headers[Header::kCreationTimestamp]).value_or(0);
  // INFO, WARN, ERROR, FATAL for low, medium, high, critical.
  const unsigned severity = 4 * static_cast<unsigned>(headers[Header::kSeverity].front() - '0') + 5;
  out += "{\"timeUnixNano\":\"" + Nanoseconds(created, 1'000'000'000);
  out += "\",\"observedTimeUnixNano\":\"" + Nanoseconds(observed, 1'000'000);
  out += "\",\"severityNumber\":";
  AppendUnsigned(out, severity);
  out += ",\"eventName\":";
  AppendJsonString(out, headers[Header::kClassification]);
  out += ",\"body\":{";
  if (IsUtf8(record.payload)) {
    out += "\"stringValue\":";
    AppendJsonString(out, record.payload);
  } else {
    out += "\"bytesValue\":\"" + Base64(record.payload) + '"';
  }
  out += "},";
  const std::string id = record.id.ToHex();
  AppendAttributes(out,
                   {
                       {"telemetry.classification", headers[Header::kClassification]},
                       {"telemetry.event_id", headers[Header::kEventId]},
                       {"telemetry.record_id", id},
                       {"telemetry.payload_format_version", headers[Header::kPayloadFormatVersion]},
                   });
  out += '}';
}

struct Machine {
  std::string resource;
  std::string log_records;  // without the brackets around them
};

}  // namespace

std::string OtlpUrl(std::string_view server) {
  while (server.ends_with('/')) server.remove_suffix(1);
  return std::string(server) + "/v1/logs";
}

Result<HttpRequest> MakeOtlpRequest(std::span<const OutgoingRecord> records,
                                    std::string_view tidheader) {
  std::vector<Machine> machines;
  for (const OutgoingRecord& record : records) {
    TELEM_TRY(const HeaderViews headers, SplitHeaders(record.header_text));
    TELEM_CHECK(CheckHeaders(headers));
    std::string resource = ResourceOf(headers);
    auto machine = std::find_if(machines.begin(), machines.end(),
                                [&](const Machine& known) { return known.resource == resource; });
    if (machine == machines.end()) {
      machine = machines.insert(machine, {.resource = std::move(resource), .log_records = ""});
    } else {
      machine->log_records += ',';
    }
    AppendLogRecord(machine->log_records, record, headers);
  }
  HttpRequest request;
  request.header_lines = {std::string(tidheader), "Content-Type: application/json"};
  std::string& body = request.body;
  body = "{\"resourceLogs\":[";
  for (Machine& machine : machines) {
    if (!body.ends_with('[')) body += ',';
    body += "{\"resource\":" + machine.resource + ",\"scopeLogs\":[{\"logRecords\":[";
    body += machine.log_records;
    body += "]}]}";
    std::string().swap(machine.log_records);  // it may be large
  }
  body += "]}";
  if (body.size() > kCompressAbove) {
    TELEM_TRY(body, Gzip(body));
    request.header_lines.emplace_back("Content-Encoding: gzip");
  }
  return request;
}

}  // namespace telem
