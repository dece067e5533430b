// HostFacts: what a record says of the machine it comes from. None of it changes while a process
// lives, so each process reads it once.
#pragma once

#include <string>

namespace telem {

// Values as they go into the headers of the same names, but for AppendHeaders' cutting and masking.
struct HostFacts {
  std::string arch;
  std::string host_type;  // VENDOR|PRODUCT|VERSION
  std::string build;
  std::string kernel_version;
  std::string system_name;
  std::string board_name;  // NAME|VENDOR
  std::string cpu_model;
  std::string bios_version;
};

// Reads os-release, /sys/class/dmi/id and /proc/cpuinfo below `root` ("" for the machine itself),
// and uname(2). Cannot fail: what is missing has its own word ("unknown", "blank", "no_sv_file").
HostFacts ReadHostFacts(const std::string& root);

// Those of this machine, read when they are first asked for. Safe from several threads and after
// fork.
const HostFacts& ThisHost();

}  // namespace telem
