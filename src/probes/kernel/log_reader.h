// Reads a saved kernel log in pieces, whatever its size, and finds the reports in it.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "probes/kernel/report_finder.h"

namespace telem {

// The reports in a log that is in memory, in the order of their first lines.
std::vector<RawReport> FindReports(std::string_view log);

// Calls `use` for each report, in the order of their first lines as far as they end in that order.
// Ends with the first error of `use` or of reading.
Status ReadReports(int fd, const std::function<Status(const RawReport&)>& use);

}  // namespace telem
