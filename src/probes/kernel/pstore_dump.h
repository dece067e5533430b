// Puts the parts of a crashed kernel's log together, and finds the reports in it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "probes/common/record_outlet.h"

namespace telem {

// A file as it was read.
struct PstoreFile {
  std::string path;
  std::string name;  // its last part
  std::string bytes;
  std::chrono::sys_seconds modified;  // the crash, where the name does not tell
};

// One dump of one kernel: of each crash there is one.
struct PstoreDump {
  struct Part {
    uint64_t number = 0;
    std::string text;  // without the header
  };
  std::string reason;  // "Panic"; empty: a console
  uint64_t count = 0;
  std::chrono::sys_seconds time;   // of the crash
  std::vector<Part> parts;         // the beginning of the log first
  std::vector<std::string> paths;  // of the files that it came from; `time` is the first one's
  std::vector<std::string> flaws;  // what is wrong with it, in words
  std::string unreadable;          // why; empty where its file was understood
};

// Every file belongs to exactly one dump: one that cannot be understood to one of its own, which
// has flaws and no parts.
std::vector<PstoreDump> JoinDumps(std::vector<PstoreFile> files);

// The records of its reports, or one that says that it holds none where the kernel says that it
// crashed or nobody can tell what it says; files of one crash that cannot be read for the same
// reason give the same event. `boot_id`: of the kernel that crashed, empty where that is not known.
// Without those of times for which `is_unwanted` is true.
std::vector<ProbeRecord> MakeDumpRecords(
    const PstoreDump& dump, std::string_view boot_id,
    const std::function<bool(std::chrono::sys_seconds)>& is_unwanted = nullptr);

// The same also when some of its files are gone, as long as the first is there. 32 hex digits.
std::string IdOfDump(const PstoreDump& dump, std::string_view boot_id);

// Takes out the records of events for which there is another that tells of the panic they led to.
void DropWhatPanicsTell(std::vector<ProbeRecord>& records);

}  // namespace telem
