// Protocol otlp: records as OpenTelemetry logs, OTLP/HTTP in its JSON form
// (https://opentelemetry.io/docs/specs/otlp/). One request carries several records; those of one
// machine in one state share a resource. docs/formats.md says which header becomes which field.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "deliver/http_client.h"
#include "deliver/outgoing_record.h"

namespace telem {

// Where logs are posted below the URL of an OTLP server.
std::string OtlpUrl(std::string_view server);

// kInvalid when the headers of one are not those of a record. A body of more than 1 KiB is
// compressed.
Result<HttpRequest> MakeOtlpRequest(std::span<const OutgoingRecord> records,
                                    std::string_view tidheader);

}  // namespace telem
