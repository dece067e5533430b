#include "record/headers.h"

#include "base/text.h"
#include "record/classification.h"

namespace telem {
namespace {

std::unexpected<Error> Malformed(std::string_view what, std::string_view name) {
  std::string message(what);
  message += " '";
  message += name;
  message += '\'';
  return Fail(ErrorCode::kInvalid, std::move(message));
}

}  // namespace

Result<HeaderViews> TakeHeaders(std::string_view& text) {
  HeaderViews headers;
  std::string_view rest = text;
  for (size_t i = 0; i < kHeaderCount; ++i) {
    const std::string_view name = kHeaderNames[i];
    const size_t end = rest.substr(0, kMaxHeaderLine).find('\n');
    if (end == std::string_view::npos) {
      return Malformed(rest.size() < kMaxHeaderLine ? "missing or cut header" : "over-long header",
                       name);
    }
    const std::string_view line = rest.substr(0, end);
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with(": ")) {
      // "name:" alone is an empty value whose blank somebody trimmed; 1.x servers do not take it.
      return Malformed("missing, reordered or malformed header", name);
    }
    const std::string_view value = line.substr(name.size() + 2);
    if (HasControl(value)) {
      return Malformed("control character in header", name);
    }
    headers.values[i] = value;
    rest.remove_prefix(end + 1);
  }
  text = rest;
  return headers;
}

Result<HeaderViews> SplitHeaders(std::string_view text) {
  TELEM_TRY(const HeaderViews headers, TakeHeaders(text));
  if (!text.empty()) return Fail(ErrorCode::kInvalid, "bytes behind the last header");
  return headers;
}

Status CheckHeaders(const HeaderViews& headers) {
  const auto bad = [](Header header) { return Malformed("bad value of header", NameOf(header)); };
  if (headers[Header::kRecordFormatVersion] != kRecordFormatVersion) {
    return bad(Header::kRecordFormatVersion);
  }
  if (!IsValidClassification(headers[Header::kClassification])) {
    return bad(Header::kClassification);
  }
  const std::string_view severity = headers[Header::kSeverity];
  if (severity.size() != 1 || severity[0] < '1' || severity[0] > '4') return bad(Header::kSeverity);
  if (!IsLowerHex(headers[Header::kEventId], 32)) return bad(Header::kEventId);
  for (const Header header : {Header::kCreationTimestamp, Header::kPayloadFormatVersion}) {
    if (!ParseUnsigned(headers[header])) return bad(header);
  }
  return {};
}

void AppendHeaders(std::string& out, const HeaderViews& headers) {
  for (size_t i = 0; i < kHeaderCount; ++i) {
    out += kHeaderNames[i];
    out += ": ";
    const size_t limit = MaxValue(static_cast<Header>(i));
    const std::string_view value = headers.values[i].substr(0, limit);
    if (IsPrintableAscii(value)) {
      out += value;
    } else {
      out += PrintableAscii(value, limit);
    }
    out += '\n';
  }
}

}  // namespace telem
