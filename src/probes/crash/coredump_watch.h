// Reports what systemd-coredump has taken, by its entries in the system journal: for machines on
// which it keeps kernel.core_pattern (crash_forward = systemd-coredump).
//
// The entries come from journalctl(1) in its export format (systemd.io/JOURNAL_EXPORT_FORMATS), so
// that crashprobe does without libsystemd. Where it stopped is kept in cache_dir/coredump-cursor,
// and is moved on only when telemd has taken a record over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "config/settings.h"
#include "probes/crash/crash_arguments.h"

namespace telem {

// Fields of an entry by name; of those that are read here.
using JournalFields = std::map<std::string, std::string>;

// Puts entries together from pieces of the export format.
class JournalExportReader {
 public:
  static constexpr size_t kMaxEntry = size_t{4} * 1024 * 1024;

  void Add(std::string_view bytes) { buffer_ += bytes; }
  // The next entry that is whole; nothing while there is none. One that is too large or damaged is
  // passed over.
  std::optional<JournalFields> Next();

 private:
  // To behind the next empty line, where an entry begins again; whether there is one by now.
  bool SkipDamage();

  std::string buffer_;
  bool is_damaged_ = false;
};

// The part of a record behind its head, from the text that systemd-coredump writes ("Stack trace of
// thread …"), with both signatures; empty where it has no stack. `crashing_thread` is 0 where the
// entry does not say (systemd before COREDUMP_TID): then it is the first one, as in the core.
// `exe` is the path of the program.
std::string ReportOfCoredumpMessage(std::string_view message, pid_t crashing_thread,
                                    std::string_view exe);

// Follows the journal until it is ended. Returns the exit code.
int WatchCoredumps(const CrashArguments& arguments, const Settings& settings);

}  // namespace telem
