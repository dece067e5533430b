// A folder of kernel reports that wait to be sent (cache_dir/oops), one file a report, as in 1.x:
// klogscanner puts them there, oopsprobe sends them. Any file with the text of a kernel's log in it
// is taken.
//
// A file of klogscanner's is named BOOT-POSITION, so that what is put there twice is there once,
// and holds the report's lines with the time of the first one in front of each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "probes/common/record_outlet.h"
#include "probes/kernel/report_finder.h"

namespace telem {

class OopsFolder {
 public:
  static constexpr size_t kMaxFiles = 256;  // beyond that Put() says kNoSpace
  static constexpr size_t kMaxFile = size_t{1} * 1024 * 1024;

  explicit OopsFolder(std::string path) : path_(std::move(path)) {}

  // Survives a power cut when the call returns. The folder is made where it is missing.
  Status Put(const RawReport& raw, const std::string& boot_id) const;

  // Whether there is any file. A folder that is not there has none.
  Result<bool> HasFiles() const;

  // Hands the records of all files to `outlet`, oldest name first; each file is removed when telemd
  // has taken its records over. With a `outlet` that does not post, files stay. What is no report
  // is removed, too, and told to `complain`. Ends with the first failure.
  Status SendAll(const RecordOutlet& outlet,
                 const std::function<void(const std::string&)>& complain) const;

  // Removes all files: the user has opted out.
  Status Discard() const;

 private:
  Result<std::vector<std::string>> Names() const;

  std::string path_;
};

}  // namespace telem
