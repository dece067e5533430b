// Sender: hands one frame to the daemon and brings its answer back.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

// Connects to `socket_path`, writes `frame`, shuts down its writing side and waits for the status
// byte, all of it within `time_limit`. One connection a frame: as fast as keeping one, and nothing
// to share across fork, nothing that the host program could close by mistake.
//
// A connection that ends in place of the byte leaves the record's fate open: the frame goes out
// once more on a fresh connection. The daemon may then have it twice, never not at all.
//
// Errors carry the errno that the C API returns: ETIMEDOUT, EIO when the fate is still open, what
// the daemon answered, or what socket(2) and connect(2) said. Raises no SIGPIPE, leaves no
// descriptor open, and none to a child.
Status SendFrame(const std::string& socket_path, std::string_view frame,
                 std::chrono::milliseconds time_limit);

}  // namespace telem
