// Runs a program of ours and takes what it prints.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace telem {

// What `command` (program, looked for in PATH, and arguments) writes to stdout, at most `limit`
// bytes; its stderr is ours. kUnavailable, with the exit code, when it fails.
Result<std::string> OutputOf(const std::vector<std::string>& command, size_t limit);

}  // namespace telem
