// The text of a kernel's log, and the records of the reports in it.
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/log_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view log = AsText(data, size);
  uint64_t before = 0;
  for (const RawReport& raw : FindReports(log)) {
    Require(raw.position >= before, "reports come in the order of their first lines");
    before = raw.position;
    Require(!raw.lines.empty() && !raw.headlines.empty(), "a report has a line and a title");
    Require(raw.lines.size() <= ReportFinder::kMaxLines, "a report's lines are bounded");
    const ProbeRecord record = MakeKernelRecord(raw, "boot");
    Require(record.payload.size() <= size_t{64} * 1024, "a payload has at most 64 KiB");
    Require(record.payload.starts_with("Crash Report:\nReason: ") ||
                record.payload.starts_with("Crash Report:\n"),
            "a payload begins as servers expect");
    for (const char c : record.payload) {
      Require(IsPrintableAscii(c) || c == '\n' || c == '\t', "a payload is printable");
    }
    Require(IsLowerHex(record.event_id, 32), "an event id is one");
    Require(record.severity >= 1 && record.severity <= 4, "a severity is one");
    Require(MakeKernelRecord(raw, "boot").event_id == record.event_id, "an event id is repeatable");
  }
  return 0;
}
