// `telemctl spool list|show|drop|flush`: the records that wait. They are asked for through telemd's
// control socket, so who may ask needs no right to the spool's files.
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// All print to stdout, complain on stderr, and return the exit code. `id` may be abbreviated.
int RunSpoolList(bool json, const Settings& settings);
int RunSpoolShow(const std::string& id, const Settings& settings);
// Gives one record up, or all where `id` is empty.
int RunSpoolDrop(const std::string& id, const Settings& settings);
// Lets telemd try at once.
int RunSpoolFlush(const Settings& settings);

}  // namespace telem
