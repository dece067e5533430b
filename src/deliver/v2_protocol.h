// Protocol v2, what telemetrics-client 1.x speaks: one POST a record, the fifteen headers as HTTP
// headers in their order, then the tidheader line and the content type; the body is the payload.
#pragma once

#include <string_view>

#include "base/result.h"
#include "deliver/http_client.h"

namespace telem {

// `header_text` is checked once more before it becomes HTTP; kInvalid when it is not fit for that.
Result<HttpRequest> MakeV2Request(std::string_view header_text, std::string_view payload,
                                  std::string_view tidheader);

}  // namespace telem
