// Protocol v2, what telemetrics-client 1.x speaks: one POST a record, the fifteen headers as HTTP
// headers in their order, then the tidheader line and the content type; the body is the payload.
#pragma once

#include <string_view>

#include "base/result.h"
#include "deliver/http_client.h"
#include "deliver/outgoing_record.h"

namespace telem {

// The header lines are checked once more before they become HTTP; kInvalid when they are not fit
// for that.
Result<HttpRequest> MakeV2Request(const OutgoingRecord& record, std::string_view tidheader);

}  // namespace telem
