// oopsprobe: sends the kernel's reports that klogscanner has laid down.
#include <string>

#include "base/command_line.h"
#include "probes/kernel/folder_probe.h"
#include "probes/kernel/oops_folder.h"
#include "probes/kernel/sample_evidence.h"

namespace telem {
namespace {

constexpr char kProgram[] = "oopsprobe";

constexpr char kAbout[] =
    "Usage: oopsprobe [OPTION]...\n"
    "Send a record for each kernel report in the files of a folder, and remove them.\n"
    "\n";

enum : int { kDir = 256 };

constexpr OptionRow kOptions[] = {
    {"dir", kDir, "FOLDER", "the folder (default: `oops` in cache_dir)"},
};

Status Send(const std::string& folder, const RecordOutlet& outlet) {
  return OopsFolder(folder).SendAll(outlet,
                                    [](const std::string& what) { Failure(kProgram, what); });
}

Status ShowSample(const RecordOutlet& outlet) { return HandReports(SampleOops(), outlet); }

Status Discard(const std::string& folder) { return OopsFolder(folder).Discard(); }

}  // namespace
}  // namespace telem

int main(int argc, char** argv) {
  return telem::RunFolderProbe({.program = telem::kProgram,
                                .about = telem::kAbout,
                                .options = telem::kOptions,
                                .own_folder = "oops",
                                .send = telem::Send,
                                .discard = telem::Discard,
                                .show_sample = telem::ShowSample},
                               argc, argv);
}
