// `telemctl spool export|import`: records carried by hand from a machine without a network to one
// with (record/spool_export.h).
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// Writes every waiting record to `file` ("-": stdout), which must not be there yet. They stay in
// the spool unless `remove`; then they are given up once the file is safe on its disk.
int RunSpoolExport(const std::string& file, bool remove, const Settings& settings);

// Puts the records of `file` ("-": stdin) into the spool, but for those that this machine knows
// already. A file that is not whole is not touched.
int RunSpoolImport(const std::string& file, const Settings& settings);

}  // namespace telem
