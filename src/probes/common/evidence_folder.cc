#include "probes/common/evidence_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/files.h"

namespace telem {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

Result<std::vector<std::string>> ReadFolderNames(const std::string& path, size_t limit) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (!folder && errno == ENOENT) return names;
  if (!folder) return SystemError("open '" + path + "'", errno);
  while (names.size() < limit) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr && errno != 0) return SystemError("read '" + path + "'", errno);
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<Evidence> ReadEvidence(const std::string& path, size_t limit) {
  const auto opened = OpenAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!opened) {
    Error error = opened.error();
    if (error.err == ELOOP) error.code = ErrorCode::kInvalid;
    return std::unexpected(std::move(error));
  }
  struct stat st;
  if (::fstat(opened->get(), &st) != 0) return SystemError("look at '" + path + "'", errno);
  if (!S_ISREG(st.st_mode)) {
    return Fail(ErrorCode::kInvalid, "'" + path + "' is no regular file");
  }
  Evidence evidence{.bytes = {},
                    .modified = std::chrono::sys_seconds(std::chrono::seconds(st.st_mtim.tv_sec))};
  std::string& bytes = evidence.bytes;
  // Files of /sys and of pstore do not always know their size.
  while (bytes.size() < limit) {
    constexpr size_t kPiece = size_t{64} * 1024;
    const size_t before = bytes.size();
    bytes.resize(std::min(limit, before + kPiece));
    const ssize_t got = ::read(opened->get(), bytes.data() + before, bytes.size() - before);
    if (got < 0 && errno != EINTR) return SystemError("read '" + path + "'", errno);
    bytes.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) break;
  }
  return evidence;
}

Status RemoveEvidence(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return SystemError("remove '" + path + "'", errno);
}

}  // namespace telem
