// Makes a record of a kernel's report.
#pragma once

#include <string>
#include <string_view>

#include "probes/common/record_outlet.h"
#include "probes/kernel/report_finder.h"

namespace telem {

// `boot_id` is that of the kernel that reported: with it the event id is the same wherever the
// report was found, in the live log or in what the crashed kernel left behind. Empty: not known.
ProbeRecord MakeKernelRecord(const RawReport& raw, std::string_view boot_id);

}  // namespace telem
