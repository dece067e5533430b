#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace telem {

Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = ::openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return SystemError("open '" + path + "'", errno);
  return UniqueFd(fd);
}

Result<UniqueFd> OpenFolder(const std::string& path) {
  return OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Result<std::string> ReadAll(int fd, size_t limit) {
  std::string bytes;
  struct stat st;
  // One byte more than expected, so that the usual read sees the end without growing.
  size_t room = 4096;
  if (::fstat(fd, &st) == 0 && st.st_size > 0) room = static_cast<size_t>(st.st_size) + 1;
  size_t size = 0;
  while (true) {
    bytes.resize(std::min(size + room, limit + 1));
    const ssize_t n = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("read", errno);
    size += static_cast<size_t>(n);
    if (size > limit) return Fail(ErrorCode::kTooLarge, "larger than the limit");
    if (n == 0) break;
    room = std::max<size_t>(4096, size);
  }
  bytes.resize(size);
  return bytes;
}

Result<std::string> ReadFile(const std::string& path, size_t limit) {
  TELEM_TRY(const UniqueFd fd, OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
  auto bytes = ReadAll(fd.get(), limit);
  if (!bytes) return WithContext("'" + path + "'", std::move(bytes.error()));
  return bytes;
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("write", errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return SystemError("remove '" + path + "'", errno);
}

Status ReplaceFile(const std::string& path, std::string_view bytes, mode_t mode,
                   Durability durability) {
  const bool is_synced = durability == Durability::kNow;
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string fresh = path + ".new";
  auto write = [&]() -> Status {
    TELEM_TRY(const UniqueFd fd,
              OpenAt(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    TELEM_CHECK(WriteAll(fd.get(), bytes));
    if (is_synced && ::fsync(fd.get()) != 0) return SystemError("sync", errno);
    if (::rename(fresh.c_str(), path.c_str()) != 0) return SystemError("rename", errno);
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(fresh.c_str());
    return WithContext("replace '" + path + "'", std::move(written.error()));
  }
  if (!is_synced) return {};
  TELEM_TRY(const UniqueFd folder_fd, OpenAt(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(folder_fd.get()) != 0) return SystemError("sync '" + folder + "'", errno);
  return {};
}

Status EnsureFolder(const std::string& path, mode_t mode) {
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return {};
    return SystemError("make folder '" + path + "'", ENOTDIR);
  }
  const size_t slash = path.find_last_of('/');
  if (slash != std::string::npos && slash > 0) {
    TELEM_CHECK(EnsureFolder(path.substr(0, slash), 0755));
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return SystemError("make folder '" + path + "'", errno);
  }
  return {};
}

Status EnsureFolderOf(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  struct stat st;
  const bool was_there = ::stat(path.c_str(), &st) == 0;
  TELEM_CHECK(EnsureFolder(path, mode));
  if (was_there) return {};
  // By descriptor: what lies at the path may have been exchanged by whoever owns the folder above.
  TELEM_TRY(const UniqueFd folder, OpenFolder(path));
  if (::fchown(folder.get(), uid, gid) != 0) return SystemError("give away '" + path + "'", errno);
  return {};
}

std::string OwnFolder() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) return "";
  const std::string_view program(path, static_cast<size_t>(n));
  return std::string(program.substr(0, program.rfind('/')));
}

}  // namespace telem
