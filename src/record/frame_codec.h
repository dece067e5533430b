// The socket frame, from a probe to the daemon. Native byte order, for the two ends share a
// machine:
//
//   u32 size            bytes of headers plus payload
//   u32 header_size     bytes of the fifteen header lines
//   headers             header_size bytes
//   payload             size - header_size bytes
//   NUL                 one byte
//
// telemetrics-client 2.x counts differently: there `size` is the length of the whole frame, and
// "CFG:" + path + NUL may stand before header_size. Both are taken (docs/formats.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/headers.h"

namespace telem {

// What the daemon answers each frame with: one byte, on every architecture the same.
enum class FrameStatus : uint8_t {
  kTakenOver = 0,      // from here on the record survives the death of the daemon
  kIoError = 5,        // EIO
  kTooLarge = 7,       // E2BIG
  kMalformed = 22,     // EINVAL
  kSpoolFull = 28,     // ENOSPC
  kOptedOut = 111,     // ECONNREFUSED
  kRateLimited = 122,  // EDQUOT
};

// The parts of one frame; views into the bytes it was split from.
struct Frame {
  std::string_view headers;
  std::string_view payload;
  bool had_config_path = false;  // 2.x "CFG:", skipped: it let any local user redirect delivery
};

// A frame of 1.x counting, as new clients send it.
std::string EncodeFrame(std::string_view headers, std::string_view payload);

// The largest frame that can be valid, in bytes.
inline constexpr size_t kMaxFrame = 8 + kMaxHeaders + kMaxPayload + 1;

// Looks at the front of a connection's bytes.
//
// `closed` says that no more bytes follow. Takes a whole frame off `bytes` and returns it; returns
// nothing when more bytes are needed; kTooLarge or kInvalid as soon as it is certain that this is
// no frame of ours. Never reads past `bytes` and never allocates.
Result<std::optional<Frame>> TakeFrame(std::string_view& bytes, bool closed);

}  // namespace telem
