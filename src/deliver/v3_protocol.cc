#include "deliver/v3_protocol.h"

#include "base/flat_json.h"
#include "record/headers.h"

namespace telem {

Result<HttpRequest> MakeV3Request(const OutgoingRecord& record, std::string_view tidheader) {
  TELEM_TRY(const HeaderViews headers, SplitHeaders(record.header_text));
  TELEM_CHECK(CheckHeaders(headers));
  FlatJsonWriter body;
  for (size_t i = 0; i < kHeaderCount; ++i) body.Add(kHeaderNames[i], headers.values[i]);
  body.Add("payload", record.payload);
  HttpRequest request;
  request.header_lines = {std::string(tidheader), "Content-Type: application/json"};
  request.body = body.Finish();
  return request;
}

}  // namespace telem
