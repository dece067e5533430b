// Folders of pstore files: /sys/fs/pstore itself, /var/lib/systemd/pstore with its folder for each
// crash, and cache_dir/pstore, where pstoreclean puts them, with a folder for each boot.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "probes/kernel/pstore_dump.h"

namespace telem {

class PstoreFolder {
 public:
  static constexpr size_t kMaxFiles = 1024;              // of a folder and those below it
  static constexpr size_t kMaxFile = size_t{1} << 20;    // the largest backends keep 64 KiB a part
  static constexpr size_t kMaxBytes = size_t{64} << 20;  // of all files that are read at once

  explicit PstoreFolder(std::string path) : path_(std::move(path)) {}

  // The paths of the files with names of pstore's, sorted, from three levels of folders. None where
  // there is no folder.
  Result<std::vector<std::string>> Find() const;

  // Reads them: by boot, which is known (not empty) where pstoreclean has noted it. What cannot be
  // read is told to `complain`.
  template <typename Complain>
  Result<std::map<std::string, std::vector<PstoreFile>>> Read(const Complain& complain) const {
    std::map<std::string, std::vector<PstoreFile>> files;
    size_t bytes = 0;
    TELEM_TRY(const auto paths, Find());
    for (const std::string& path : paths) {
      auto file = ReadOne(path);
      if (!file) {
        complain(file.error().message);
        continue;
      }
      bytes += file->bytes.size();
      if (bytes > kMaxBytes) break;  // the others come the next time
      files[BootOf(path)].push_back(std::move(*file));
    }
    return files;
  }

  // The folder in which pstoreclean puts what the boot `boot_id` left behind.
  std::string FolderOfBoot(const std::string& boot_id) const;

 private:
  static Result<PstoreFile> ReadOne(const std::string& path);
  std::string BootOf(const std::string& path) const;

  std::string path_;
};

}  // namespace telem
