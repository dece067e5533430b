#include "deliver/v2_protocol.h"

#include "base/text.h"
#include "record/headers.h"
#include "record/http_codec.h"

namespace telem {

Result<HttpRequest> MakeV2Request(std::string_view header_text, std::string_view payload,
                                  std::string_view tidheader) {
  TELEM_TRY(const HeaderViews headers, SplitHeaders(header_text));
  TELEM_CHECK(CheckHeaders(headers));
  HttpRequest request;
  request.header_lines.reserve(kHeaderCount + 2);
  while (!header_text.empty()) {
    request.header_lines.emplace_back(TakeUntil(header_text, '\n'));
  }
  request.header_lines.emplace_back(tidheader);
  request.header_lines.emplace_back("Content-Type: " + std::string(kPayloadContentType));
  request.body = payload;
  return request;
}

}  // namespace telem
