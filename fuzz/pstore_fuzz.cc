// Files of pstore. Each begins with a line, its name; a line of 0x1e stands between two files.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/kernel/pstore_dump.h"
#include "probes/kernel/pstore_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::vector<PstoreFile> files;
  for (std::string_view rest = AsText(data, size); !rest.empty() && files.size() < 64;) {
    std::string_view file = TakeUntil(rest, '\x1e');
    const std::string name(TakeUntil(file, '\n'));
    files.push_back({.path = std::to_string(files.size()),
                     .name = name,
                     .bytes = std::string(file),
                     .modified = std::chrono::sys_seconds(std::chrono::seconds(files.size()))});
  }
  std::vector<std::string> expected;
  expected.reserve(files.size());
  for (const PstoreFile& file : files) expected.push_back(file.path);
  std::vector<std::string> paths;
  std::vector<ProbeRecord> records;
  for (const PstoreDump& dump : JoinDumps(std::move(files))) {
    paths.insert(paths.end(), dump.paths.begin(), dump.paths.end());
    for (size_t i = 1; i < dump.parts.size(); ++i) {
      Require(dump.parts[i - 1].number > dump.parts[i].number, "parts are in order, none is twice");
    }
    for (ProbeRecord& record : MakeDumpRecords(dump, "boot")) {
      Require(IsLowerHex(record.event_id, 32), "an event id is one");
      records.push_back(std::move(record));
    }
  }
  std::sort(paths.begin(), paths.end());
  std::sort(expected.begin(), expected.end());
  Require(paths == expected, "every file is in exactly one dump");
  const bool had_any = !records.empty();
  DropWhatPanicsTell(records);
  Require(!records.empty() == had_any, "an event does not vanish");
  return 0;
}
