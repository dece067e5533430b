// Reads folders and files that others put evidence into.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace telem {

// The names in the folder `path`, sorted, without those that begin with a dot; at most `limit` of
// them, whichever come first. Empty where there is no folder.
Result<std::vector<std::string>> ReadFolderNames(const std::string& path, size_t limit);

struct Evidence {
  std::string bytes;
  std::chrono::sys_seconds modified;  // when it was laid down
};

// A regular file; of one that is larger than `limit` as many bytes. kInvalid when it is no regular
// file; never waits, never follows a link.
Result<Evidence> ReadEvidence(const std::string& path, size_t limit);

// Removes a file that may be gone already.
Status RemoveEvidence(const std::string& path);

}  // namespace telem
