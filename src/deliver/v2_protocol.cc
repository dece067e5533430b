#include "deliver/v2_protocol.h"

#include "base/text.h"
#include "record/headers.h"
#include "record/http_codec.h"

namespace telem {

Result<HttpRequest> MakeV2Request(const OutgoingRecord& record, std::string_view tidheader) {
  TELEM_TRY(const HeaderViews headers, SplitHeaders(record.header_text));
  TELEM_CHECK(CheckHeaders(headers));
  HttpRequest request;
  request.header_lines.reserve(kHeaderCount + 2);
  std::string_view rest = record.header_text;
  // Blanks around a value do not belong to it, and HTTP/2 does not allow them.
  while (!rest.empty()) request.header_lines.emplace_back(Trim(TakeUntil(rest, '\n')));
  request.header_lines.emplace_back(tidheader);
  request.header_lines.emplace_back("Content-Type: " + std::string(kPayloadContentType));
  request.body = record.payload;
  return request;
}

}  // namespace telem
