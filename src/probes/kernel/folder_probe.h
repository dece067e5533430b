// What the mains of probes that take their evidence out of a folder have in common.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "probes/common/record_outlet.h"

namespace telem {

struct FolderProbe {
  const char* program;
  const char* about;                   // the help text before the options
  std::span<const OptionRow> options;  // --dir
  const char* own_folder;  // below cache_dir: where its evidence lies, unless --dir names another
  // Sends what lies in `folder`, and gives it up. Called without the rights of root.
  Status (*send)(const std::string& folder, const RecordOutlet& outlet);
  // Gives up what lies in its own folder: the user has opted out.
  Status (*discard)(const std::string& folder);
  // With --sample: what it makes of evidence that is built in.
  Status (*show_sample)(const RecordOutlet& outlet);
};

// Returns the exit code.
int RunFolderProbe(const FolderProbe& probe, int argc, char** argv);

}  // namespace telem
