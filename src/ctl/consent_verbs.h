// `telemctl opt-out|opt-in`: the user's word, and what follows from it.
#pragma once

#include "ctl/service_verbs.h"

namespace telem {

// Both complain on stderr and return the exit code.
//
// Writes the marker first: from that moment on nothing is collected and nothing leaves. Then stops
// everything, and removes all that was collected on this machine. Goes on where an earlier one was
// interrupted.
int RunOptOut(const Installation& installation);
// Gives consent in the way that `consent` asks for, and starts.
int RunOptIn(const Installation& installation);

}  // namespace telem
