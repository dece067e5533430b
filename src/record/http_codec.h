// How records stand in HTTP requests of protocol v2: the fifteen headers as HTTP headers, the
// payload as body.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "record/headers.h"

namespace telem {

// The line that tells servers which programs their records come from; this is telemetrics-client's.
inline constexpr std::string_view kDefaultTidHeader =
    "X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f";

inline constexpr std::string_view kPayloadContentType = "application/text";

// Whether `line` can stand in a request as one header: a token, a colon, a value without control
// characters (RFC 9110, 5.1 and 5.5). At most 4 KiB.
bool IsHttpHeaderLine(std::string_view line);

// Whether records can be sent to `url`: http:// or https://.
bool IsServerUrl(std::string_view url);

// Whether `url` names a proxy that they can be sent through.
bool IsProxyUrl(std::string_view url);

// Header lines from `name=value,name=value`, the form of OTEL_EXPORTER_OTLP_HEADERS: blanks around
// names and values do not count, `%20` in a value is a blank (and so on). At most 4 KiB; nothing
// when one of them could not stand in a request.
std::optional<std::vector<std::string>> ParseOtlpHeaders(std::string_view list);

// Which of the fifteen an HTTP header is: without regard to case, `-` and `_` being the same, since
// proxies change both.
std::optional<Header> FindHeaderByHttpName(std::string_view name);

// Whether two HTTP header names are the same in that sense.
bool SameHttpName(std::string_view a, std::string_view b);

}  // namespace telem
