#include "probes/kernel/kernel_record.h"

#include <array>
#include <vector>

#include "base/text.h"
#include "probes/kernel/kernel_report.h"
#include "probes/kernel/report_payload.h"
#include "record/signature.h"

namespace telem {
namespace {

// Two hashes of 64 bits make the 128 of an event id.
std::string EventIdOf(const std::vector<std::string>& parts) {
  std::string id;
  for (const std::string_view half : {"kernel event, first half", "kernel event, second half"}) {
    const std::string hash = SignatureOf(half, parts);
    id += hash.substr(hash.size() - 16);
  }
  return id;
}

}  // namespace

ProbeRecord MakeKernelRecord(const RawReport& raw, std::string_view boot_id) {
  const KernelReport report = ReadKernelReport(raw);
  const KindInfo& info = InfoOf(report.kind);
  ProbeRecord record;
  record.classification = "kernel/" + std::string(info.name);
  // A warning that stopped the machine is no small matter.
  record.severity = report.panicked ? 4 : info.severity;
  record.payload = WritePayload(report);
  std::string time;
  AppendUnsigned(time, raw.time_us.value_or(0));
  record.event_id = EventIdOf({std::string(boot_id), time, report.reason, report.process,
                               report.pid, report.cpu, report.version});
  return record;
}

}  // namespace telem
