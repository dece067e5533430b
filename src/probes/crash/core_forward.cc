#include "probes/crash/core_forward.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace telem {
namespace {

// 2 in /proc/sys/fs/suid_dumpable: the program changed its user, and only root may see the core.
constexpr int kDumpForRoot = 2;

bool BecomeUser(unsigned long long uid, unsigned long long gid) {
  const auto user = static_cast<uid_t>(uid);
  const auto group = static_cast<gid_t>(gid);
  return ::setgroups(0, nullptr) == 0 && ::setresgid(group, group, group) == 0 &&
         ::setresuid(user, user, user) == 0;
}

// A new file, or one that the kernel would write over as well: a plain one of the same user without
// other names.
Result<UniqueFd> OpenCoreFile(int folder, const std::string& path) {
  open_how how{};
  how.flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  how.mode = 0600;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd file(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how))));
  if (!file.valid()) return SystemError("create the core file '" + path + "'", errno);
  struct stat st;
  if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
      st.st_uid != ::geteuid() || (st.st_mode & 0077) != 0) {
    return Fail(ErrorCode::kDenied, "'" + path + "' is not ours to write over");
  }
  if (::ftruncate(file.get(), 0) != 0) return SystemError("empty '" + path + "'", errno);
  return file;
}

Status Copy(int to, const std::string& start, int from, unsigned long long limit) {
  unsigned long long left = limit;
  const auto write = [&](std::string_view bytes) -> Status {
    bytes = bytes.substr(0, left);
    left -= bytes.size();
    // Pages of zeros become holes.
    if (bytes.find_first_not_of('\0') == std::string_view::npos) {
      return ::lseek(to, static_cast<off_t>(bytes.size()), SEEK_CUR) >= 0
                 ? Status{}
                 : SystemError("lseek", errno);
    }
    return WriteAll(to, bytes);
  };
  TELEM_CHECK(write(start));
  std::vector<char> buffer(size_t{64} * 1024);
  while (left > 0) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read the core", errno);
    if (got == 0) break;
    TELEM_CHECK(write({buffer.data(), static_cast<size_t>(got)}));
  }
  const off_t end = ::lseek(to, 0, SEEK_CUR);
  if (end < 0 || ::ftruncate(to, end) != 0) return SystemError("end the core file", errno);
  return {};
}

}  // namespace

Result<CoreForward> CoreForward::Open(int proc, std::string pattern, CoreFileValues values) {
  if (pattern.empty() || pattern.front() == '|' || pattern.front() == '@') {
    return Fail(ErrorCode::kNotFound, "the pattern that was there is none of a file");
  }
  if (values.limit <= 1) return Fail(ErrorCode::kDenied, "the process wants no core");
  CoreForward forward;
  forward.path_ = ExpandCorePattern(pattern, values);
  const bool is_absolute = forward.path_.starts_with('/');
  if (values.dump_mode == kDumpForRoot && !is_absolute) {
    return Fail(ErrorCode::kDenied, "a core for root only needs an absolute path");
  }
  TELEM_TRY(forward.folder_, OpenAt(proc, is_absolute ? "root" : "cwd", O_RDONLY | O_DIRECTORY));
  forward.values_ = std::move(values);
  return forward;
}

Status CoreForward::Run(const std::string& start, int rest) const {
  if (values_.dump_mode != kDumpForRoot && ::geteuid() == 0 &&
      !BecomeUser(values_.uid, values_.gid)) {
    return SystemError("become the user of the process", errno);
  }
  TELEM_TRY(const UniqueFd file, OpenCoreFile(folder_.get(), path_));
  return Copy(file.get(), start, rest, values_.limit);
}

}  // namespace telem
