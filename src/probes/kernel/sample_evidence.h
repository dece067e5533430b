// Evidence that is built in, for --sample: people see what the probes make of it without waiting
// for their kernel to crash. It is of the forms that kernels and firmware use, goes through the
// same parsers, and names itself: the module in it is called `sample`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "probes/common/record_outlet.h"
#include "probes/kernel/pstore_dump.h"

namespace telem {

// Logs of kernels, each with one report.
std::string_view SampleWarning();
std::string_view SampleOops();

// The log of a kernel that panicked, as EFI keeps it: in two parts.
std::vector<PstoreFile> SamplePstoreFiles();

// The data of an ACPI table BERT: an error of memory.
std::string SampleBertTable();

// Hands `outlet` a record of each report in `log`.
Status HandReports(std::string_view log, const RecordOutlet& outlet);

}  // namespace telem
