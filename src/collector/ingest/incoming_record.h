// IncomingRecord: a record that a client sent and that has passed every rule.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "record/headers.h"

namespace telem {

// Views into the request, which stays until it is answered.
struct IncomingRecord {
  // As the client sent them, without the quotes around system name and build, numbers without
  // leading zeros. A view without data: the client's format version does not have the header.
  HeaderViews headers;
  uint64_t creation_timestamp = 0;  // seconds since the epoch
  std::string_view payload;         // any bytes
  WallTime received;
};

inline bool IsPresent(std::string_view header) { return header.data() != nullptr; }

}  // namespace telem
