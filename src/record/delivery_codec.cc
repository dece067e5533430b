#include "record/delivery_codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/flat_json.h"
#include "base/text.h"
#include "record/headers.h"

namespace telem {
namespace {

constexpr std::array<std::string_view, 3> kOutcomes = {"accepted", "refused", "later"};
constexpr std::array<std::string_view, 3> kProtocols = {"v2", "v3", "otlp"};

// Every setting with its name on the line.
constexpr std::pair<const char*, std::string DeliverySettings::*> kSettings[] = {
    {"server", &DeliverySettings::server},
    {"server_protocol", &DeliverySettings::server_protocol},
    {"tidheader", &DeliverySettings::tidheader},
    {"cainfo", &DeliverySettings::cainfo},
    {"clientcert", &DeliverySettings::clientcert},
    {"clientkey", &DeliverySettings::clientkey},
    {"proxy", &DeliverySettings::proxy},
    {"otlp_headers", &DeliverySettings::otlp_headers},
};

std::optional<uint32_t> ParseNumber(std::string_view text) {
  const auto value = ParseUnsigned(text);
  if (!value || *value > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

}  // namespace

std::optional<Protocol> FindProtocol(std::string_view word) {
  const auto* const at = std::find(kProtocols.begin(), kProtocols.end(), word);
  if (at == kProtocols.end()) return std::nullopt;
  return static_cast<Protocol>(at - kProtocols.begin());
}

std::string EncodeDeliverySettings(const DeliverySettings& settings) {
  FlatJsonWriter line;
  for (const auto& [name, member] : kSettings) line.Add(name, settings.*member);
  return line.Finish() + '\n';
}

Result<DeliverySettings> ParseDeliverySettings(std::string_view line) {
  TELEM_TRY(auto values, ParseFlatJson(line));
  DeliverySettings settings;
  for (const auto& [name, member] : kSettings) {
    if (const auto at = values.find(name); at != values.end()) {
      settings.*member = std::move(at->second);
    }
  }
  return settings;
}

std::array<char, kDeliveryHead> EncodeDeliveryHead(const RecordId& id, size_t header_size,
                                                   size_t payload_size) {
  std::array<char, kDeliveryHead> head;
  const std::string hex = id.ToHex();
  const uint32_t sizes[2] = {static_cast<uint32_t>(header_size + payload_size),
                             static_cast<uint32_t>(header_size)};
  std::memcpy(head.data(), hex.data(), kHexIdSize);
  std::memcpy(head.data() + kHexIdSize, sizes, sizeof sizes);
  return head;
}

Result<std::optional<DeliveryRecord>> TakeDeliveryRecord(std::string_view& bytes) {
  if (bytes.size() < kDeliveryHead) return std::nullopt;
  const auto id = ParseRecordId(bytes.substr(0, kHexIdSize));
  if (!id) return Fail(ErrorCode::kInvalid, "no record id where one is due");
  uint32_t sizes[2];
  std::memcpy(sizes, bytes.data() + kHexIdSize, sizeof sizes);
  const size_t size = sizes[0];
  const size_t header_size = sizes[1];
  if (header_size > size) return Fail(ErrorCode::kInvalid, "headers larger than the record");
  if (header_size > kMaxHeaders || size - header_size > kMaxPayload) {
    return Fail(ErrorCode::kTooLarge, "record too large");
  }
  if (bytes.size() - kDeliveryHead < size) return std::nullopt;
  const DeliveryRecord record{
      .id = *id,
      .headers = bytes.substr(kDeliveryHead, header_size),
      .payload = bytes.substr(kDeliveryHead + header_size, size - header_size)};
  bytes.remove_prefix(kDeliveryHead + size);
  return record;
}

std::string_view NameOf(Outcome outcome) { return kOutcomes[static_cast<size_t>(outcome)]; }

void AppendVerdict(std::string& out, const Verdict& verdict) {
  AppendHex(out, verdict.id.bytes.data(), verdict.id.bytes.size());
  out += ' ';
  out += NameOf(verdict.outcome);
  out += ' ';
  AppendUnsigned(out, verdict.code);
  out += ' ';
  AppendUnsigned(out, verdict.retry_after);
  out += ' ';
  out += PrintableAscii(verdict.text, kMaxVerdictText);
  out += '\n';
}

std::optional<Verdict> ParseVerdict(std::string_view line) {
  if (line.size() >= kMaxVerdictLine) return std::nullopt;
  const auto id = ParseRecordId(TakeUntil(line, ' '));
  const auto* const outcome = std::find(kOutcomes.begin(), kOutcomes.end(), TakeUntil(line, ' '));
  const auto code = ParseNumber(TakeUntil(line, ' '));
  const auto retry_after = ParseNumber(TakeUntil(line, ' '));
  if (!id || outcome == kOutcomes.end() || !code || !retry_after) return std::nullopt;
  return Verdict{.id = *id,
                 .outcome = static_cast<Outcome>(outcome - kOutcomes.begin()),
                 .code = *code,
                 .retry_after = *retry_after,
                 .text = line};
}

}  // namespace telem
