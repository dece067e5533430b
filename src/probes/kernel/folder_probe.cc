#include "probes/kernel/folder_probe.h"

#include <fcntl.h>

#include "base/files.h"
#include "probes/common/privileges.h"
#include "probes/common/probe_run.h"

namespace telem {

int RunFolderProbe(const FolderProbe& probe, int argc, char** argv) {
  std::string folder;  // empty: its own
  const auto own_folder = [&](const RecordOutlet& outlet) {
    return outlet.settings().cache_dir + '/' + probe.own_folder;
  };
  return RunProbe({.program = probe.program,
                   .about = probe.about,
                   .options = probe.options,
                   .take_option =
                       [&](int /*--dir*/, const char* value) {
                         folder = value;
                         return Status();
                       },
                   .run = [&](const RecordOutlet& outlet) -> Status {
                     // What it writes down in cache_dir must be the probes' own.
                     if (outlet.posts()) TELEM_CHECK(GiveUpPrivileges());
                     if (!folder.empty()) {
                       // That of its own may be missing; a name that was given may be mistyped.
                       TELEM_CHECK(OpenAt(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY));
                     }
                     outlet.EnsureConsentStart();
                     return probe.send(folder.empty() ? own_folder(outlet) : folder, outlet);
                   },
                   .show_sample = probe.show_sample,
                   .run_opted_out =
                       [&](const RecordOutlet& outlet) {
                         // What somebody else has collected is not ours to remove.
                         return folder.empty() ? probe.discard(own_folder(outlet)) : Status();
                       }},
                  argc, argv);
}

}  // namespace telem
