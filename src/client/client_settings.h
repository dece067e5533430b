// The settings of the process that the library is a guest in. Each file is read once; mistakes in
// it never disturb the host program, the defaults hold. Safe from several threads and after fork.
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// Those of the file chosen last, or of the machine's usual files. Valid as long as the process.
const Settings& CurrentSettings();

// Takes them from `file` from now on.
void ChooseConfigFile(const std::string& file);

}  // namespace telem
