// `telemctl test`: sends a record that says hello, and follows it to the server's answer.
#pragma once

#include <chrono>
#include <string>

#include "config/settings.h"

namespace telem {

struct TestOptions {
  std::chrono::seconds timeout{30};
  std::string config_file;  // that the sender is given, empty for the usual one
};

// Prints each station to stdout, complains on stderr of where it got stuck, and returns the exit
// code: 0 only when the server has the record.
int RunTest(const TestOptions& options, const Settings& settings);

}  // namespace telem
