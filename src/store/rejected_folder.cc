#include "store/rejected_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr char kSeparator = '\x1e';

// Lines of files that are there no more are cleared away when the reasons reach this size. A
// hundred lines of the longest are a third of it.
constexpr off_t kReasonsWorthTrimming = 128 * 1024;
constexpr size_t kMaxReasons = 1024 * 1024;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// Names of foreign files may hold anything; in the reasons they are lines of text.
std::string AsText(std::string_view bytes, size_t limit) {
  std::string text(bytes.substr(0, limit));
  std::replace_if(text.begin(), text.end(), [](char c) { return IsControl(c); }, '?');
  return text;
}

std::string ReasonLine(std::string_view name, std::string_view reason) {
  std::string line = AsText(name, NAME_MAX);
  line += kSeparator;
  line += AsText(reason, RejectedFolder::kMaxReason);
  line += '\n';
  return line;
}

struct Listed {
  timespec time;
  RejectedFolder::File file;
};

// What lies in the folder, in the order in which it came there (a rename changes the ctime).
Result<std::vector<Listed>> ListFiles(int folder) {
  TELEM_TRY(UniqueFd list, OpenAt(folder, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(list.get()));
  if (dir == nullptr) return SystemError("list rejected records", errno);
  (void)list.Release();
  std::vector<Listed> files;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    struct stat st;
    if (::fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(st.st_mode)) {
      continue;
    }
    files.push_back({.time = st.st_ctim,
                     .file = {.name = entry->d_name,
                              .size = static_cast<uint64_t>(st.st_size),
                              .time = st.st_ctim.tv_sec,
                              .reason = {},
                              .is_regular = S_ISREG(st.st_mode)}});
  }
  std::sort(files.begin(), files.end(), [](const Listed& a, const Listed& b) {
    return std::pair(a.time.tv_sec, a.time.tv_nsec) < std::pair(b.time.tv_sec, b.time.tv_nsec);
  });
  return files;
}

bool IsEmptyFolder(int from, const std::string& name) {
  UniqueFd list(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const std::unique_ptr<DIR, CloseDir> dir(list.valid() ? ::fdopendir(list.get()) : nullptr);
  if (dir == nullptr) return false;
  (void)list.Release();
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name != std::string_view(".") && entry->d_name != std::string_view("..")) {
      return false;
    }
  }
  return true;
}

// Nothing but their being there is lost with a link, a pipe, an empty folder.
Status RemoveIrregular(int from, const std::string& name, bool is_folder) {
  if (::unlinkat(from, name.c_str(), is_folder ? AT_REMOVEDIR : 0) == 0) {
    return Fail(ErrorCode::kInvalid, "'" + name + "' is no regular file, removed it");
  }
  if (is_folder && (errno == ENOTEMPTY || errno == EEXIST)) {
    return Fail(ErrorCode::kInvalid, "'" + name + "' is a folder, leaving it there");
  }
  return SystemError("remove '" + name + "'", errno);
}

// Another file system: copy, sync, and only then give up the original. The copy appears whole.
Status CopyAcross(int from, const std::string& name, int to, const std::string& new_name) {
  struct stat st;
  if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return SystemError("look at '" + name + "'", errno);
  }
  if (!S_ISREG(st.st_mode)) return RemoveIrregular(from, name, S_ISDIR(st.st_mode));
  TELEM_TRY(const UniqueFd source, OpenAt(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  TELEM_TRY(const std::string bytes, ReadAll(source.get(), RejectedFolder::kMaxBytes));
  const std::string fresh = ".copy";
  TELEM_TRY(const UniqueFd copy,
            OpenAt(to, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TELEM_CHECK(WriteAll(copy.get(), bytes));
  if (::fsync(copy.get()) != 0 || ::renameat(to, fresh.c_str(), to, new_name.c_str()) != 0 ||
      ::fsync(to) != 0) {
    return SystemError("copy '" + name + "'", errno);
  }
  if (::unlinkat(from, name.c_str(), 0) != 0) return SystemError("remove '" + name + "'", errno);
  return {};
}

Status Move(int from, const std::string& name, int to, const std::string& new_name) {
  if (::renameat(from, name.c_str(), to, new_name.c_str()) == 0) return {};
  if (errno == EXDEV) return CopyAcross(from, name, to, new_name);
  return SystemError("move '" + name + "'", errno);
}

}  // namespace

Result<UniqueFd> RejectedFolder::Open() const { return OpenFolder(path_); }

bool RejectedFolder::HasPlaceFor(int from, const std::string& name) const {
  struct stat st;
  struct stat own;
  if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return true;
  if (S_ISREG(st.st_mode) && static_cast<uint64_t>(st.st_size) > kMaxBytes) return false;
  if (!EnsureFolder(path_, 0700) || ::stat(path_.c_str(), &own) != 0) return true;
  if (st.st_dev == own.st_dev) return true;
  if (S_ISREG(st.st_mode)) return ::faccessat(from, name.c_str(), R_OK, AT_EACCESS) == 0;
  return !S_ISDIR(st.st_mode) || IsEmptyFolder(from, name);
}

Status RejectedFolder::TakeIn(int from, const std::string& name, std::string_view reason) {
  TELEM_CHECK(EnsureFolder(path_, 0700));
  TELEM_TRY(const UniqueFd folder, Open());
  struct stat st;
  if (::fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
      static_cast<uint64_t>(st.st_size) > kMaxBytes) {
    return Fail(ErrorCode::kInvalid,
                "'" + name + "': more than may be set aside, leaving it there");
  }
  // The reason first: one without its file harms nobody. Where it cannot be written the record is
  // still set aside, so that it does not hold up others.
  (void)AddReason(name, reason);
  if (auto moved = Move(from, name, folder.get(), name); !moved) {
    if (moved.error().code == ErrorCode::kNotFound) return {};
    return WithContext("set it aside", std::move(moved.error()));
  }
  return Trim(folder.get());
}

Status RejectedFolder::Trim(int folder) {
  TELEM_TRY(const std::vector<Listed> files, ListFiles(folder));
  uint64_t bytes = 0;
  for (const Listed& listed : files) bytes += listed.file.size;
  size_t count = files.size();
  for (const auto& [time, file] : files) {
    if (count <= kMaxFiles && bytes <= kMaxBytes) break;
    ::unlinkat(folder, file.name.c_str(), 0);
    --count;
    bytes -= file.size;
  }
  return {};
}

Result<std::vector<RejectedFolder::File>> RejectedFolder::List() const {
  const auto folder = Open();
  if (!folder && folder.error().code == ErrorCode::kNotFound) return std::vector<File>();
  if (!folder) return std::unexpected(folder.error());
  TELEM_TRY(std::vector<Listed> listed, ListFiles(folder->get()));

  // A later line for the same name gives its newer reason.
  std::map<std::string, std::string, std::less<>> reasons;
  const auto text = ReadFile(ReasonsPath(), kMaxReasons);
  std::string_view rest = text ? *text : std::string_view();
  while (rest.contains('\n')) {
    std::string_view line = TakeUntil(rest, '\n');
    const std::string_view name = TakeUntil(line, kSeparator);
    reasons.insert_or_assign(std::string(name), std::string(line));
  }
  std::vector<File> files;
  for (Listed& each : listed) {
    const auto reason = reasons.find(AsText(each.file.name, NAME_MAX));
    if (reason != reasons.end()) each.file.reason = AsText(reason->second, kMaxReason);
    files.push_back(std::move(each.file));
  }
  return files;
}

Result<UniqueFd> RejectedFolder::OpenFile(const std::string& name) const {
  TELEM_TRY(const UniqueFd folder, Open());
  TELEM_TRY(UniqueFd file, OpenAt(folder.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return SystemError("look at '" + name + "'", errno);
  if (!S_ISREG(st.st_mode)) return Fail(ErrorCode::kInvalid, "no regular file");
  return file;
}

Result<std::string> RejectedFolder::Read(const std::string& name) const {
  TELEM_TRY(const UniqueFd file, OpenFile(name));
  return ReadAll(file.get(), kMaxBytes);
}

Status RejectedFolder::GiveBack(const std::string& name, int to, const std::string& new_name) {
  TELEM_TRY(const UniqueFd folder, Open());
  return Move(folder.get(), name, to, new_name);
}

Status RejectedFolder::Remove(const std::string& name) {
  TELEM_TRY(const UniqueFd folder, Open());
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return SystemError("remove '" + name + "' from the rejected ones", errno);
  }
  return {};
}

Status RejectedFolder::Clear() {
  TELEM_TRY(const std::vector<File> files, List());
  Status result;
  for (const File& file : files) {
    if (Status removed = Remove(file.name); !removed) result = std::move(removed);
  }
  if (Status removed = RemoveFile(ReasonsPath()); !removed) result = std::move(removed);
  return result;
}

Status RejectedFolder::AddReason(const std::string& name, std::string_view reason) {
  const auto open = [&] {
    return OpenAt(AT_FDCWD, ReasonsPath(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
  };
  TELEM_TRY(UniqueFd file, open());
  struct stat st;
  if (::fstat(file.get(), &st) == 0 && st.st_size > kReasonsWorthTrimming) {
    TELEM_TRY(const std::vector<File> kept, List());
    TELEM_CHECK(TrimReasons(kept));
    TELEM_TRY(file, open());
  }
  return WriteAll(file.get(), ReasonLine(name, reason));
}

Status RejectedFolder::TrimReasons(const std::vector<File>& kept) {
  std::string text;
  for (const File& file : kept) text += ReasonLine(file.name, file.reason);
  return ReplaceFile(ReasonsPath(), text, 0600);
}

}  // namespace telem
