#include "record/spool_file.h"

#include "base/text.h"

namespace telem {
namespace {

// A number as ToText writes it: no leading zeros, so that a name has one spelling.
std::optional<uint32_t> ParseNamePart(std::string_view text) {
  const auto value = ParseUnsigned(text);
  if (!value || *value > UINT32_MAX || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  return static_cast<uint32_t>(*value);
}

}  // namespace

std::string SpoolFileName::ToText() const {
  std::string text;
  text.reserve(kHexIdSize + 18);
  AppendHex(text, id.bytes.data(), id.bytes.size());
  text += '-';
  AppendUnsigned(text, uid);
  text += '-';
  AppendUnsigned(text, payload_size);
  return text;
}

std::optional<SpoolFileName> ParseSpoolFileName(std::string_view name) {
  const auto id = ParseRecordId(TakeUntil(name, '-'));
  const auto uid = ParseNamePart(TakeUntil(name, '-'));
  const auto payload_size = ParseNamePart(name);
  if (!id || !uid || !payload_size || *payload_size > kMaxPayload) return std::nullopt;
  return SpoolFileName{*id, *uid, *payload_size};
}

Result<SpoolFileParts> ParseSpoolFile(std::string_view bytes,
                                      std::optional<uint32_t> payload_size) {
  if (bytes.starts_with("CFG:")) TakeUntil(bytes, '\n');
  const std::string_view whole = bytes;
  TELEM_TRY(const HeaderViews headers, TakeHeaders(bytes));
  TELEM_CHECK(CheckHeaders(headers));
  if (!bytes.ends_with('\n')) return Fail(ErrorCode::kInvalid, "no newline at the end");
  SpoolFileParts parts{.header_text = whole.substr(0, whole.size() - bytes.size()),
                       .headers = headers,
                       .payload = bytes.substr(0, bytes.size() - 1)};
  if (payload_size && parts.payload.size() != *payload_size) {
    return Fail(ErrorCode::kInvalid, "payload of another length than the name says");
  }
  if (parts.payload.size() > kMaxPayload) return Fail(ErrorCode::kTooLarge, "payload too large");
  return parts;
}

}  // namespace telem
