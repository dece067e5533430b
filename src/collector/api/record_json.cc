#include "collector/api/record_json.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace telem {
namespace {

using Json = nlohmann::ordered_json;

std::string Latin1ToUtf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

// Seconds, as the creation timestamp, with milliseconds behind the point.
double InSeconds(WallTime time) {
  return static_cast<double>(time.time_since_epoch().count()) / 1000.0;
}

void AddPayload(Json& json, std::string_view payload) {
  json["payload_size"] = payload.size();
  if (IsUtf8(payload)) {
    json["payload_encoding"] = "utf-8";
    json["payload"] = payload;
  } else {
    json["payload_encoding"] = "latin-1";
    json["payload"] = Latin1ToUtf8(payload);
  }
}

Json ToJson(const StoredRecord& record, bool with_payload) {
  Json json;
  json["id"] = record.id;
  json["received"] = InSeconds(record.received);
  for (size_t i = 0; i < kHeaderCount; ++i) {
    Json& value = json[std::string(kHeaderNames[i])];
    if (record.headers[i]) value = *record.headers[i];
  }
  if (with_payload) {
    AddPayload(json, record.payload);
  } else {
    json["payload_size"] = record.payload_size;
  }
  return json;
}

// Text is valid UTF-8 by now; `replace` because a store may have been written by other hands.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string RecordToJson(const IncomingRecord& record, const Receipt& receipt) {
  Json json;
  json["id"] = receipt.id;
  json["received"] = InSeconds(receipt.received);
  for (size_t i = 0; i < kHeaderCount; ++i) {
    Json& value = json[std::string(kHeaderNames[i])];
    if (IsPresent(record.headers.values[i])) value = record.headers.values[i];
  }
  AddPayload(json, record.payload);
  return Dump(json);
}

std::string PageToJson(const RecordPage& page, bool with_payload) {
  Json json;
  json["records"] = Json::array();
  for (const StoredRecord& record : page.records) {
    json["records"].push_back(ToJson(record, with_payload));
  }
  json["next"] = page.next ? Json(*page.next) : Json();
  json["newest"] = page.newest;
  return Dump(json);
}

std::string MessageToJson(std::string_view message) {
  Json json;
  json["message"] = message;
  return Dump(json);
}

}  // namespace telem
