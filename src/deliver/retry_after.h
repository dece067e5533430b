// The Retry-After field of an answer (RFC 9110, 10.2.3): seconds, or a date. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace telem {

// Longer is not honoured: a server that asks for a year is mistaken.
inline constexpr uint32_t kMaxRetryAfter = 86'400;

// An HTTP date in any of its three forms (RFC 9110, 5.6.7).
std::optional<std::chrono::sys_seconds> ParseHttpDate(std::string_view text);

// Seconds to wait, at most a day; 0 when the server asked for nothing that can be understood.
// `date` is the answer's Date field: what the server's clock says when the answer goes out, so that
// a wrong clock on this side does no harm. `now` takes its place where it is missing.
uint32_t ParseRetryAfter(std::string_view value, std::string_view date,
                         std::chrono::sys_seconds now);

}  // namespace telem
