// `telemctl doctor`: looks for what commonly goes wrong, and names cause and cure.
#pragma once

#include <string>

namespace telem {

// Prints a line a check to stdout, and returns the exit code: 0 only when all is well.
int RunDoctor(const std::string& config_file);

}  // namespace telem
