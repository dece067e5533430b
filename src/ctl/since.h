// Since: the point in time that a person means by `--since`.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace telem {

// Seconds since the epoch for "2026-11-23", "2026-11-23 14:53", "2026-11-23 14:53:19" (local time),
// "@1795445599", and "-2h" or "2h ago" counted back from `now` (units s, m, h, d). Anything else is
// kInvalid, with a message that says what is allowed.
Result<uint64_t> ParseSince(std::string_view text, uint64_t now);

}  // namespace telem
