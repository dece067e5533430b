// `telemctl preview`: the bytes that would be sent. It works before anybody has consented, without
// telemd, and sends nothing.
#pragma once

#include <string>

#include "config/settings.h"

namespace telem {

// For the record in `file` ("-": standard input) as it lies in the spool or as probes print it;
// empty: for a sample of each probe that is installed. `config_file` is what the probes are given.
// Prints to stdout, complains on stderr, returns the exit code.
int RunPreview(const std::string& file, const std::string& config_file, const Settings& settings);

// What each header and line of a record is, where it comes from, and whether it can tell who
// somebody is, on stdout. Returns the exit code.
int ExplainRecords();

}  // namespace telem
