// Gzip: the seam to zlib.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

// `bytes` as one gzip member (RFC 1952).
Result<std::string> Gzip(std::string_view bytes);

}  // namespace telem
