#include "deliver/answer.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace telem {
namespace {

using Json = nlohmann::json;

// A value that was discarded where `body` is no JSON.
Json Parse(std::string_view body) { return Json::parse(body, nullptr, false); }

// The string below `name`, or nothing to say.
std::string TextOf(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_string()) return "";
  return PrintableAscii(at->get_ref<const std::string&>(), kMaxVerdictText);
}

// int64 is a string in protobuf's JSON, and readers take numbers as well.
uint64_t CountOf(const Json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end()) return 0;
  if (at->is_number_unsigned()) return at->get<uint64_t>();
  if (at->is_string()) return ParseUnsigned(at->get_ref<const std::string&>()).value_or(0);
  return 0;
}

}  // namespace

Outcome OutcomeOf(uint32_t status, Protocol protocol) {
  if (protocol == Protocol::kOtlp && status / 100 == 2) return Outcome::kAccepted;
  switch (status) {
    case 200:
    case 201:
      return Outcome::kAccepted;
    case 400:  // Bad Request
    case 405:  // Method Not Allowed
    case 406:  // Not Acceptable
    case 409:  // Conflict
    case 411:  // Length Required
    case 413:  // Content Too Large
    case 414:  // URI Too Long
    case 415:  // Unsupported Media Type
    case 422:  // Unprocessable Content
    case 431:  // Request Header Fields Too Large
      return Outcome::kRefused;
    default:
      return Outcome::kLater;
  }
}

std::string WordsOf(std::string_view body) {
  if (const Json object = Parse(body); object.is_object()) {
    if (std::string message = TextOf(object, "message"); !message.empty()) return message;
  }
  std::string_view rest = body;
  return PrintableAscii(Trim(TakeUntil(rest, '\n')), kMaxVerdictText);
}

std::string PartialSuccessOf(std::string_view body) {
  const Json answer = Parse(body);
  if (!answer.is_object()) return "";
  const auto partial = answer.find("partialSuccess");
  if (partial == answer.end() || !partial->is_object()) return "";
  const uint64_t rejected = CountOf(*partial, "rejectedLogRecords");
  std::string words = TextOf(*partial, "errorMessage");
  if (rejected == 0) return words;  // a warning
  std::string text;
  AppendUnsigned(text, rejected);
  text += " of the request rejected";
  if (!words.empty()) text += ": " + words;
  return PrintableAscii(text, kMaxVerdictText);
}

}  // namespace telem
