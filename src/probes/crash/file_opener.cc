#include "probes/crash/file_opener.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxBuildId = 128;  // hex digits
constexpr size_t kMaxDebuglink = 255;

bool IsBuildId(std::string_view id) {
  return id.size() > 2 && id.size() <= kMaxBuildId && IsLowerHex(id, id.size());
}

bool IsFileName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxDebuglink && name != "." && name != ".." &&
         name != "-" && !name.contains('/') && !name.contains('\0');
}

}  // namespace

UniqueFd OpenBelow(int root, const std::string& path) {
  if (!path.starts_with('/')) return UniqueFd();
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  UniqueFd file;
  if (root == AT_FDCWD) {
    file.Reset(::open(path.c_str(), kFlags));
  } else {
    open_how how{};
    how.flags = kFlags;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    file.Reset(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
  }
  struct stat st;
  if (!file.valid() || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return UniqueFd();
  return file;
}

UniqueFd FileOpener::Open(const std::string& path) const {
  UniqueFd file = OpenBelow(root_, path);
  // The debug information of a container's program may be on the host only.
  if (!file.valid() && root_ != AT_FDCWD) file = OpenBelow(AT_FDCWD, path);
  if (file.valid()) opened_.push_back(path);
  return file;
}

UniqueFd FileOpener::Answer(std::string_view request) const {
  const auto index = ParseUnsigned(TakeUntil(request, ' '));
  const std::string_view build_id = TakeUntil(request, ' ');
  const std::string_view debuglink = request;
  if (!index || *index >= map_.modules().size()) return UniqueFd();
  if (IsBuildId(build_id)) {
    std::string path = "/usr/lib/debug/.build-id/";
    path += build_id.substr(0, 2);
    path += '/';
    path += build_id.substr(2);
    path += ".debug";
    if (UniqueFd file = Open(path); file.valid()) return file;
  }
  if (!IsFileName(debuglink)) return UniqueFd();
  const std::string& module = map_.modules()[*index].path;
  const std::string folder = module.substr(0, module.rfind('/') + 1);
  const std::string name(debuglink);
  // Never the module itself, which some name as their own debug information.
  for (const std::string& path :
       {std::string(folder).append(name), std::string(folder).append(".debug/").append(name),
        std::string("/usr/lib/debug").append(folder).append(name)}) {
    if (path == module) continue;
    if (UniqueFd file = Open(path); file.valid()) return file;
  }
  return UniqueFd();
}

UniqueFd SandboxedFiles::OpenModule(size_t index) {
  if (index >= modules_.size() || modules_[index] < 0) return UniqueFd();
  return UniqueFd(std::exchange(modules_[index], -1));
}

UniqueFd SandboxedFiles::OpenDebugFile(size_t index, std::string_view build_id,
                                       std::string_view debuglink) {
  std::string request;
  AppendUnsigned(request, index);
  request += ' ';
  request += build_id.empty() ? "-" : build_id;
  request += ' ';
  request += debuglink.empty() ? "-" : debuglink.substr(0, kMaxDebuglink);
  return link_.Ask(request);
}

}  // namespace telem
