// Watches whether whoever gave the records is still there to hear of them.
//
// telemd closes the connection when the user opts out: then nothing more may leave, not even the
// rest of a request that is half sent. With kept connections, busy uploads and slow name servers
// the main thread may be anywhere, so this is a thread of its own, and it ends the process.
#pragma once

#include "base/result.h"

namespace telem {

// From here on the process ends with exit code 0 the moment the other end of standard input closes
// both ways. A half-close, and anything that is no socket, only mean that no more records come.
Status EndWithCaller();

}  // namespace telem
