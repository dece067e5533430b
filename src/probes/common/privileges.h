// Probes that need a right of root's to open their evidence do everything else without it.
#pragma once

#include "base/result.h"

namespace telem {

// From here on with the rights of the user telemetry and without any capability: whether root
// started this, or a service manager that gave its user one. Where root did and there is no such
// user, nothing changes. To be called before there is a second thread, which would keep its own.
// `also_in`: a group, if there is one of this name, whose rights are kept where root started this.
Status GiveUpPrivileges(const char* also_in = nullptr);

}  // namespace telem
