// `telemctl rejected list|show|retry|drop`: the records that can never be delivered as they are,
// with the server's words.
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// All print to stdout, complain on stderr, and return the exit code. `name` is an id or, of files
// that are no records, the file's name; either may be abbreviated.
int RunRejectedList(bool json, const Settings& settings);
int RunRejectedShow(const std::string& name, const Settings& settings);
// Puts one back into the spool, or all where `name` is empty.
int RunRejectedRetry(const std::string& name, const Settings& settings);
int RunRejectedDrop(const std::string& name, const Settings& settings);

}  // namespace telem
