// Protocol v3, what telemetrics-client 2.x speaks: one POST a record, the body one JSON object of
// strings: the fifteen headers by name, whole, and `payload`. The tidheader line stays a header.
//
// JSON is Unicode and payloads are bytes: one that is no UTF-8 is taken as Latin-1, so that each of
// its bytes arrives as the character of that number (which is how servers read the body of v2,
// too).
#pragma once

#include <string_view>

#include "base/result.h"
#include "deliver/http_client.h"
#include "deliver/outgoing_record.h"

namespace telem {

// kInvalid when the headers are not those of a record.
Result<HttpRequest> MakeV3Request(const OutgoingRecord& record, std::string_view tidheader);

}  // namespace telem
