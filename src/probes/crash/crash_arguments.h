// The command line of crashprobe: by hand, by the kernel in the short form of telemetrics-client
// 1.x, and by the kernel in the full form. What the kernel writes there is partly chosen by whoever
// crashed (the name of the program), so all of it is checked.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

struct CrashArguments {
  enum class Action {
    kReport,
    kExplain,
    kSocket,      // a core from the kernel's socket is at standard input
    kSetUp,       // make the kernel call us
    kRestore,     // and put back what was there
    kSendCounts,  // tell what was only counted
    kWatch,       // report what systemd-coredump takes
    kSample,      // show what a record is like
    kHelp,
    kVersion,
  };
  Action action = Action::kReport;

  // Whether the kernel called, or somebody who does as the kernel does.
  bool from_kernel = false;
  std::string name;  // -p %e
  std::string exe;   // -E %E, with its slashes back
  int signal = 0;    // -s %s
  // %P %i %I %t %u %g %c %d %F behind the options; 0 and -1 where they are missing.
  pid_t pid = 0;
  pid_t inner_tid = 0;
  pid_t tid = 0;
  uint64_t time = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
  uint64_t core_limit = 0;
  int dump_mode = 0;
  // Not used: while standard input is open, the kernel holds the process, and so its number is
  // nobody else's.
  int pidfd = -1;

  std::string core_file;      // -c; empty: standard input
  std::string root;           // --root
  std::string subject;        // --explain FILE|PID
  std::string config_file;    // -f, as given
  bool show_payload = false;  // -v
  bool post = true;           // -n
  bool json = false;
};

// What --help says of the options.
std::string DescribeCrashOptions();

// kInvalid with the mistake in words.
Result<CrashArguments> ParseCrashArguments(int argc, char** argv);

}  // namespace telem
