#include "deliver/answer.h"

#include "base/flat_json.h"
#include "base/text.h"

namespace telem {

Outcome OutcomeOf(uint32_t status) {
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
  if (const auto object = ParseFlatJson(body)) {
    if (const auto message = object->find("message"); message != object->end()) {
      return PrintableAscii(message->second, kMaxVerdictText);
    }
  }
  std::string_view rest = body;
  return PrintableAscii(Trim(TakeUntil(rest, '\n')), kMaxVerdictText);
}

}  // namespace telem
