// Chooses the function that a report is about, by its title and its stacks.
#pragma once

#include <string>
#include <string_view>

#include "probes/kernel/kernel_report.h"

namespace telem {

// A plain name; empty when the report names no function. `title` is the line that the report's
// reason comes from.
std::string FindGuilty(const KernelReport& report, std::string_view title);

}  // namespace telem
