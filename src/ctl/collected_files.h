// What was collected on this machine and is still there: the spool, rejected records, the journal,
// retained payloads, counts and evidence of the probes, and the machine id.
#pragma once

#include "config/settings.h"

namespace telem {

// Whether any of it is there, or that cannot be found out.
bool HasCollectedFiles(const Settings& settings);

// Removes it all, and leaves the folders. Goes on after a failure and tells of the first one. Where
// telemd runs, its journal is emptied and stays: it has it open.
Status RemoveCollectedFiles(const Settings& settings, bool telemd_runs);

}  // namespace telem
