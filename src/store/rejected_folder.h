// RejectedFolder: the files that can never be delivered as they are, with the reason for each, for
// people to look at, to send again, or to give up.
//
// At most 100 files and 10 MiB: the oldest make room. The reasons stand in a file of their own
// beside the folder (FOLDER-reasons, one line a file), since the journal is trimmed and knows
// nothing of files that never were records. One thread. A folder that nothing was ever rejected
// into need not exist.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

class RejectedFolder {
 public:
  static constexpr size_t kMaxFiles = 100;
  static constexpr uint64_t kMaxBytes = 10 * 1024 * 1024;
  static constexpr size_t kMaxReason = 300;

  explicit RejectedFolder(std::string path) : path_(std::move(path)) {}

  // Whether TakeIn() can make the file `name` go out of the folder `from`: not one of more than
  // kMaxBytes, which would take the place of all others here, nor, from another file system, one
  // that may not be read or a folder with something in it. True also where that cannot be found
  // out.
  bool HasPlaceFor(int from, const std::string& name) const;

  // Moves the file `name` out of the folder `from`. A file that is gone already is fine. What is
  // no regular file cannot come along from another file system and is removed there: kInvalid. What
  // has no place stays where it is: kInvalid likewise.
  Status TakeIn(int from, const std::string& name, std::string_view reason);

  struct File {
    std::string name;
    uint64_t size = 0;
    int64_t time = 0;    // when it came here, in seconds since the epoch
    std::string reason;  // printable; empty where none is known
    bool is_regular = false;
  };
  // Oldest first. Empty when nothing was rejected yet.
  Result<std::vector<File>> List() const;

  // The regular file `name` for reading; kNotFound, or kInvalid when it is something else.
  Result<UniqueFd> OpenFile(const std::string& name) const;
  // Its bytes.
  Result<std::string> Read(const std::string& name) const;

  // Moves the file `name` into the folder `to`, as `new_name`, replacing what is there.
  Status GiveBack(const std::string& name, int to, const std::string& new_name);

  // The file goes. A file that is gone already is fine.
  Status Remove(const std::string& name);

  // All files go, and with them the reasons. Goes on after one that cannot; the last failure is
  // told.
  Status Clear();

 private:
  std::string ReasonsPath() const { return path_ + "-reasons"; }
  Result<UniqueFd> Open() const;
  Status Trim(int folder);
  Status AddReason(const std::string& name, std::string_view reason);
  Status TrimReasons(const std::vector<File>& kept);

  std::string path_;
};

}  // namespace telem
