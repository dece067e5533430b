// pstoreprobe: sends what crashed kernels have left behind.
#include <string>
#include <utility>
#include <vector>

#include "base/command_line.h"
#include "probes/common/evidence_folder.h"
#include "probes/common/record_outlet.h"
#include "probes/kernel/folder_probe.h"
#include "probes/kernel/pstore_folder.h"
#include "probes/kernel/sample_evidence.h"

namespace telem {
namespace {

constexpr char kProgram[] = "pstoreprobe";

constexpr char kAbout[] =
    "Usage: pstoreprobe [OPTION]...\n"
    "Send records of the crashes whose logs the kernel has kept in pstore, and remove the files.\n"
    "\n";

enum : int { kDir = 256 };

constexpr OptionRow kOptions[] = {
    {"dir", kDir, "FOLDER",
     "take the files of FOLDER and the folders in it (default: `pstore` in\n"
     "cache_dir, where pstoreclean puts them)"},
};

void Complain(const std::string& what) { Failure(kProgram, what); }

// The dumps of one boot.
Status SendDumps(const std::string& boot_id, std::vector<PstoreFile> files,
                 const RecordOutlet& outlet) {
  std::vector<ProbeRecord> records;
  std::vector<std::string> paths;
  std::vector<std::string> in_parts;
  for (const PstoreDump& dump : JoinDumps(std::move(files))) {
    // The first file last: by it the rest is known again. Dumps in the order of time: without its
    // panic an oops would be told on its own.
    paths.insert(paths.end(), dump.paths.rbegin(), dump.paths.rend());
    const std::string id = IdOfDump(dump, boot_id);
    TELEM_TRY(const bool is_rest, outlet.WasGivenUp(id));
    if (is_rest) continue;
    if (dump.paths.size() > 1) in_parts.push_back(id);
    for (const std::string& flaw : dump.flaws) Complain(flaw);
    auto of_dump =
        MakeDumpRecords(dump, boot_id, [&](auto when) { return outlet.IsBeforeConsent(when); });
    for (ProbeRecord& record : of_dump) records.push_back(std::move(record));
  }
  DropWhatPanicsTell(records);
  for (const ProbeRecord& record : records) {
    const Status sent = outlet.HandOnce(record);
    if (!sent && !IsHopeless(sent.error())) return sent;
    if (!sent) Complain(sent.error().message + "; it is given up");
  }
  if (!outlet.posts()) return {};
  for (const std::string& id : in_parts) TELEM_CHECK(outlet.NoteGivenUp(id));
  for (const std::string& path : paths) TELEM_CHECK(RemoveEvidence(path));
  return {};
}

Status Send(const std::string& folder, const RecordOutlet& outlet) {
  TELEM_TRY(auto files, PstoreFolder(folder).Read(Complain));
  for (auto& [boot_id, of_boot] : files) {
    TELEM_CHECK(SendDumps(boot_id, std::move(of_boot), outlet));
  }
  return {};
}

Status ShowSample(const RecordOutlet& outlet) { return SendDumps("", SamplePstoreFiles(), outlet); }

Status Discard(const std::string& folder) {
  TELEM_TRY(const auto paths, PstoreFolder(folder).Find());
  for (const std::string& path : paths) TELEM_CHECK(RemoveEvidence(path));
  return {};
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) {
  return telem::RunFolderProbe({.program = telem::kProgram,
                                .about = telem::kAbout,
                                .options = telem::kOptions,
                                .own_folder = "pstore",
                                .send = telem::Send,
                                .discard = telem::Discard,
                                .show_sample = telem::ShowSample},
                               argc, argv);
}
