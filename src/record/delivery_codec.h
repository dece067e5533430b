// What passes between telemd and telem-deliver: one line of settings and then records in, one line
// of verdict a record out. The two share a machine, so numbers are in native byte order.
//
//   in:   {"server": URL, "server_protocol": "v2", "tidheader": "Name: value", …}\n
//         (the keys of DeliverySettings)
//         then per record: 32 bytes record id, u32 size, u32 header_size, headers, payload
//         (size counts headers plus payload)
//   out:  ID accepted|refused|later CODE RETRY-AFTER text\n
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/record_id.h"

namespace telem {

// How records stand in requests.
enum class Protocol { kV2, kV3, kOtlp };

// The protocol by its word in configuration: v2, v3, otlp.
std::optional<Protocol> FindProtocol(std::string_view word);

// The settings that concern delivery, as they stand in the configuration.
struct DeliverySettings {
  std::string server;
  std::string server_protocol = "v2";
  std::string tidheader;
  std::string cainfo;
  std::string clientcert;
  std::string clientkey;
  std::string proxy;
  std::string otlp_headers;

  bool operator==(const DeliverySettings&) const = default;
};

// One line, its newline included.
std::string EncodeDeliverySettings(const DeliverySettings& settings);

// `line` without its newline. Keys that are missing keep their defaults, unknown ones are passed
// over, so that programs of two releases can talk.
Result<DeliverySettings> ParseDeliverySettings(std::string_view line);

struct DeliveryRecord {
  RecordId id;
  std::string_view headers;
  std::string_view payload;
};

inline constexpr size_t kDeliveryHead = kHexIdSize + 8;

// What stands in front of the headers of one record.
std::array<char, kDeliveryHead> EncodeDeliveryHead(const RecordId& id, size_t header_size,
                                                   size_t payload_size);

// Takes one whole record off the front of `bytes`; nothing when more bytes are needed; kInvalid or
// kTooLarge as soon as it is certain that this is no record.
Result<std::optional<DeliveryRecord>> TakeDeliveryRecord(std::string_view& bytes);

enum class Outcome {
  kAccepted,  // the server has it
  kRefused,   // it never will: 400, 413 …
  kLater,     // nobody knows; it is to be sent again
};

std::string_view NameOf(Outcome outcome);

// What became of one record.
struct Verdict {
  RecordId id;
  Outcome outcome = Outcome::kLater;
  uint32_t code = 0;         // HTTP status, 0 where there was none
  uint32_t retry_after = 0;  // seconds that the server asked for, 0 where it did not
  std::string_view text;     // the server's words, or why there are none
};

inline constexpr size_t kMaxVerdictText = 200;
inline constexpr size_t kMaxVerdictLine = 300;  // newline included

// One line and its newline. Of the text at most kMaxVerdictText bytes, printable ASCII.
void AppendVerdict(std::string& out, const Verdict& verdict);

// `line` without its newline; nothing when it is none of ours.
std::optional<Verdict> ParseVerdict(std::string_view line);

}  // namespace telem
