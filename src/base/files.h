// Files as this project needs them: bounded reads, and writes that appear whole or not at all.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

// Opens `path` (relative to `dir`, or AT_FDCWD) with O_CLOEXEC added to `flags`.
Result<UniqueFd> OpenAt(int dir, const std::string& path, int flags, mode_t mode = 0);

// A folder to work in by openat; never follows a symbolic link in the last component.
Result<UniqueFd> OpenFolder(const std::string& path);

// All bytes from the descriptor's position on; kTooLarge when there are more than `limit`.
Result<std::string> ReadAll(int fd, size_t limit);

// The whole file; kTooLarge when it is larger than `limit` bytes.
Result<std::string> ReadFile(const std::string& path, size_t limit);

// Writes everything, however often the kernel takes only a part.
Status WriteAll(int fd, std::string_view bytes);

enum class Durability {
  kNow,    // survives a power cut when the call returns
  kLater,  // when the kernel writes it; nobody waits for the disk
};

// Replaces PATH by a file of `bytes`: written beside it, synced, renamed, the folder synced. On
// failure the old file is untouched and nothing is left behind.
Status ReplaceFile(const std::string& path, std::string_view bytes, mode_t mode,
                   Durability durability = Durability::kNow);

// The file goes. One that is not there is fine.
Status RemoveFile(const std::string& path);

// Makes the folder and its parents where they are missing. The last one gets `mode`, parents 0755.
Status EnsureFolder(const std::string& path, mode_t mode);

// The same, for root to make a folder for somebody else: the last one belongs to `uid` and `gid`
// where it was missing. One that is there is left as it is.
Status EnsureFolderOf(const std::string& path, mode_t mode, uid_t uid, gid_t gid);

// Where the running program lies: "/usr/bin" for /usr/bin/telemd. Empty when /proc is not there.
std::string OwnFolder();

}  // namespace telem
