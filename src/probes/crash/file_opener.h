// FileOpener: opens the files that an analysis asks for, outside of its sandbox and with no more
// rights than the parent has by then: files of debug information, by build id or by the name in a
// .gnu_debuglink. And the small language in which the two speak.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "probes/crash/sandbox.h"
#include "unwind/unwinder.h"

namespace telem {

class FileOpener {
 public:
  // `root` is the root folder of the process that crashed (not owned), or AT_FDCWD for our own.
  FileOpener(int root, const ModuleMap& map) : root_(root), map_(map) {}

  // "MODULE BUILD-ID DEBUGLINK", with "-" for what is not known. Anything else gets nothing.
  UniqueFd Answer(std::string_view request) const;

  // What was asked for, and what was opened; for people.
  const std::vector<std::string>& opened() const { return opened_; }

 private:
  UniqueFd Open(const std::string& path) const;

  int root_;
  const ModuleMap& map_;
  mutable std::vector<std::string> opened_;
};

// The other end of it, inside the sandbox. `modules` are the descriptors of the mapped files.
class SandboxedFiles final : public ModuleFiles {
 public:
  SandboxedFiles(SandboxLink& link, std::vector<int> modules)
      : link_(link), modules_(std::move(modules)) {}
  UniqueFd OpenModule(size_t index) override;
  UniqueFd OpenDebugFile(size_t index, std::string_view build_id,
                         std::string_view debuglink) override;

 private:
  SandboxLink& link_;
  std::vector<int> modules_;
};

// Opens `path` (absolute) below the folder `root` without leaving it, however symbolic links point.
// Only a regular file; invalid where there is none.
UniqueFd OpenBelow(int root, const std::string& path);

}  // namespace telem
