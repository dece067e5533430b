// What systemd has to look at before it starts a unit of ours.
//
// The units as they are installed have the condition of the default: no file
// /etc/telemetrics/opt-out. A configuration that asks the user in another way needs further
// conditions, and a unit file cannot read it.
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// The text of a drop-in for each unit; empty where the default's condition says it all.
std::string ConsentConditions(const Settings& settings);

}  // namespace telem
