#include "ctl/collected_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "base/files.h"

namespace telem {
namespace {

// Ours are two deep (a folder for each boot that crashed, and in it for each of its crashes).
constexpr int kMaxDepth = 8;

// A folder that the configuration names. A link in its place is followed where nobody but the
// administrator (or whoever calls) can have put it there.
Result<UniqueFd> OpenNamedFolder(const std::string& path) {
  auto folder = OpenFolder(path);
  if (folder || folder.error().err != ENOTDIR) return folder;
  struct stat st;
  const std::string parent = path.substr(0, path.find_last_of('/') + 1);
  constexpr mode_t kOthersMayWrite = S_IWGRP | S_IWOTH;
  if (::stat(parent.c_str(), &st) != 0 || (st.st_mode & kOthersMayWrite) != 0 ||
      (st.st_uid != 0 && st.st_uid != ::geteuid())) {
    return folder;
  }
  return OpenAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

// Folders are telemd's user's: no link in them leads root anywhere else, since each step is taken
// from an open folder and follows none.
class Remover {
 public:
  enum class Mode { kRemove, kLook };  // kLook leaves everything where it is
  explicit Remover(Mode mode) : mode_(mode) {}

  void RemoveFile(const std::string& folder, const char* name) {
    const auto opened = OpenNamedFolder(folder);
    if (!opened) return Note(opened.error());
    Unlink(opened->get(), folder, name);
  }

  // All that is in `folder`/`name`, or in `folder` where the name is empty. What should be a folder
  // and is none goes itself.
  void RemoveAllIn(const std::string& folder, const char* name) {
    const auto opened = OpenNamedFolder(folder);
    if (!opened) return Note(opened.error());
    if (*name == '\0') return RemoveAll(opened->get(), folder, 0);
    RemoveAllBelow(opened->get(), folder, name, 0);
  }

  void Empty(const std::string& folder, const char* name) {
    const auto opened = OpenNamedFolder(folder);
    if (!opened) return Note(opened.error());
    const auto file = OpenAt(opened->get(), name, O_WRONLY | O_NOFOLLOW);
    if (!file) return Note(file.error());
    if (::ftruncate(file->get(), 0) != 0) {
      Note(SystemError("empty '" + folder + "/" + name + "'", errno).error());
    }
  }

  Status result() const { return result_; }

  // Whether there is something to remove, or no telling. What is empty tells nothing: locks, and
  // the journal of a telemd that runs.
  bool has_found() const { return has_found_ || !result_; }

 private:
  void Unlink(int folder, const std::string& path, const char* name) {
    if (mode_ == Mode::kLook) return Look(folder, name);
    if (::unlinkat(folder, name, 0) == 0) return;
    Note(SystemError("remove '" + path + "/" + name + "'", errno).error());
  }
  void Look(int folder, const char* name) {
    struct stat st;
    if (::fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (!S_ISREG(st.st_mode) || st.st_size > 0) has_found_ = true;
  }
  void RemoveAllBelow(int parent, const std::string& path, const char* name, int depth) {
    const auto folder = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!folder && folder.error().err == ENOTDIR) return Unlink(parent, path, name);
    if (!folder) return Note(folder.error());
    RemoveAll(folder->get(), path + "/" + name, depth);
  }
  void RemoveAll(int folder, const std::string& path, int depth) {
    const int own = ::dup(folder);
    const std::unique_ptr<DIR, int (*)(DIR*)> list(own >= 0 ? ::fdopendir(own) : nullptr,
                                                   ::closedir);
    if (list == nullptr) return Note(SystemError("list '" + path + "'", errno).error());
    while (const dirent* const entry = ::readdir(list.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (entry->d_type != DT_DIR) {
        Unlink(folder, path, entry->d_name);
        continue;
      }
      if (depth == kMaxDepth) continue;
      RemoveAllBelow(folder, path, entry->d_name, depth + 1);
      if (mode_ == Mode::kRemove) ::unlinkat(folder, entry->d_name, AT_REMOVEDIR);
    }
  }
  void Note(const Error& error) {
    // What is not there is what was wanted; what is no folder may hold anything.
    const bool is_gone = error.code == ErrorCode::kNotFound && error.err != ENOTDIR;
    if (!is_gone && result_) result_ = std::unexpected(error);
  }

  Mode mode_;
  Status result_;
  bool has_found_ = false;
};

// All that was collected.
void Visit(const Settings& settings, bool telemd_runs, Remover& remover) {
  remover.RemoveAllIn(settings.spool_dir, "");
  remover.RemoveAllIn(settings.state_dir, "rejected");
  for (const char* const name :
       {"machine_id", "crash-counts", "consent_since", "rejected-reasons", "state"}) {
    remover.RemoveFile(settings.state_dir, name);
  }
  if (telemd_runs) {
    remover.Empty(settings.log_dir, "journal");
  } else {
    remover.RemoveFile(settings.log_dir, "journal");
  }
  remover.RemoveAllIn(settings.log_dir, "records");
  // What probes keep until telemd has taken it over, and what they remember to have seen.
  remover.RemoveAllIn(settings.cache_dir, "oops");
  remover.RemoveAllIn(settings.cache_dir, "pstore");
  for (const char* const name :
       {"sent-events", "coredump-cursor", "journal-position", "kmsg-position", "pstore-archive"}) {
    remover.RemoveFile(settings.cache_dir, name);
  }
}

}  // namespace

bool HasCollectedFiles(const Settings& settings) {
  Remover remover(Remover::Mode::kLook);
  Visit(settings, false, remover);
  return remover.has_found();
}

Status RemoveCollectedFiles(const Settings& settings, bool telemd_runs) {
  Remover remover(Remover::Mode::kRemove);
  Visit(settings, telemd_runs, remover);
  return remover.result();
}

}  // namespace telem
