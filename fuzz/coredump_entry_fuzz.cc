// What the journal says of a core that systemd-coredump took: names and stack traces in it are made
// of what the crashed program had in memory.
#include <cstdint>
#include <string>
#include <vector>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/crash/core_socket.h"
#include "probes/crash/coredump_watch.h"
#include "probes/crash/crash_report.h"

namespace telem {
namespace {

std::vector<JournalFields> Feed(std::string_view bytes, size_t piece) {
  JournalExportReader reader;
  std::vector<JournalFields> entries;
  while (!bytes.empty()) {
    reader.Add(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (auto fields = reader.Next()) entries.push_back(std::move(*fields));
  }
  return entries;
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view bytes = AsText(data, size);
  const std::vector<JournalFields> entries = Feed(bytes, size);
  Require(Feed(bytes, 1 + size % 13) == entries, "any cut gives the same entries");
  for (const JournalFields& fields : entries) {
    for (const auto& [name, value] : fields) {
      Require(!name.contains("ENVIRON") && !name.contains("CMDLINE"), "some is not even kept");
    }
  }
  const std::string report = ReportOfCoredumpMessage(bytes, 42, "/usr/bin/example");
  Require(IsReportText(report), "what is made of a message is text");
  Require(report.empty() || !ExactSignatureOf(report).empty(), "and has a signature");
  if (const auto answer = AnswerCoreRequest(bytes)) {
    Require(answer->size() == 16, "an answer to the kernel has its size");
  }
  return 0;
}
