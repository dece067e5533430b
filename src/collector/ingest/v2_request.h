// From the headers and the body of a `/v2/collector` request to a record, or to the reason why it
// is none. A pure function of its arguments: this is the door through which strangers' bytes come.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "collector/http/http_field.h"
#include "collector/ingest/incoming_record.h"

namespace telem {

inline constexpr std::string_view kTidHeader = "X-Telemetry-TID";

// Which of the fifteen headers a record of format version 1..4 must have. What it has beyond them
// is checked and kept too.
bool IsRequired(Header header, int format_version);

// Checks `fields` and `body`; the record's views point into them. kInvalid with a sentence that
// names the header and says what is allowed. `tids` are the telemetry ids that are accepted, `now`
// is when the request came in.
Result<IncomingRecord> ReadV2Request(std::span<const HttpField> fields, std::string_view body,
                                     const std::vector<std::string>& tids, WallTime now);

}  // namespace telem
