#include "probes/kernel/kernel_record.h"

#include "base/text.h"
#include "probes/common/event_id.h"
#include "probes/kernel/kernel_report.h"
#include "probes/kernel/report_payload.h"

namespace telem {

ProbeRecord MakeKernelRecord(const RawReport& raw, std::string_view boot_id) {
  const KernelReport report = ReadKernelReport(raw);
  const KindInfo& info = InfoOf(report.kind);
  ProbeRecord record;
  record.classification = "kernel/" + std::string(info.name);
  // A warning that stopped the machine is no small matter.
  record.severity = report.panicked ? 4 : info.severity;
  record.payload = WritePayload(report);
  // What the end of the report may lack does not count: a dump may have lost it.
  std::string when = raw.time_us ? "" : "line ";
  AppendUnsigned(when, raw.time_us.value_or(raw.position));
  record.event_id = EventIdOf("kernel event", {{std::string(boot_id), when, report.reason}});
  // It may have been sent before it led to the panic.
  if (report.panicked) record.aspect = "panic";
  return record;
}

}  // namespace telem
