// bertprobe: sends what firmware tells of the error that ended the boot before.
#include <string>

#include "probes/common/event_id.h"
#include "probes/common/evidence_folder.h"
#include "probes/common/privileges.h"
#include "probes/common/probe_run.h"
#include "probes/kernel/bert_table.h"
#include "probes/kernel/boot_start.h"
#include "probes/kernel/kmsg_position.h"
#include "probes/kernel/sample_evidence.h"
#include "record/headers.h"

namespace telem {
namespace {

constexpr char kProgram[] = "bertprobe";
constexpr size_t kMaxTable = size_t{16} << 20;

constexpr char kAbout[] =
    "Usage: bertprobe [OPTION]...\n"
    "Send a record of the error that firmware has kept in the ACPI table BERT, once a boot.\n"
    "\n";

enum : int { kTable = 256 };

constexpr OptionRow kOptions[] = {
    {"table", kTable, "FILE", "the table's data (default: /sys/firmware/acpi/tables/data/BERT)"},
};

ProbeRecord MakeRecord(const std::string& table) {
  ProbeRecord record;
  record.classification = "bert/debug";
  record.severity = 2;
  record.payload = WriteBertPayload(table, kMaxPayload);
  record.event_id = EventIdOf("bert", {{ReadBootId(), table}});
  return record;
}

// `file`: empty where none is named.
Status Send(const std::string& file, const RecordOutlet& outlet) {
  const std::string path = file.empty() ? "/sys/firmware/acpi/tables/data/BERT" : file;
  auto table = ReadEvidence(path, kMaxTable);
  // Most machines have none.
  if (!table && table.error().code == ErrorCode::kNotFound && file.empty()) return {};
  if (!table) return std::unexpected(std::move(table.error()));
  if (!HasError(table->bytes)) return {};
  // Reading it is all that root is needed for.
  if (outlet.posts()) TELEM_CHECK(GiveUpPrivileges());
  outlet.EnsureConsentStart();
  // The table does not say when the error was, but that it was before this boot.
  if (outlet.IsBeforeConsent(FindBootStart())) return {};
  return outlet.HandOnce(MakeRecord(table->bytes));
}

int Main(int argc, char** argv) {
  std::string file;
  return RunProbe(
      {.program = kProgram,
       .about = kAbout,
       .options = kOptions,
       .take_option =
           [&](int /*kTable*/, const char* value) {
             file = value;
             return Status();
           },
       .run = [&](const RecordOutlet& outlet) { return Send(file, outlet); },
       .show_sample =
           [](const RecordOutlet& outlet) { return outlet.Hand(MakeRecord(SampleBertTable())); }},
      argc, argv);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
