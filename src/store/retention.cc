#include "store/retention.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/files.h"

namespace telem {

Status Retention::Keep(const RecordId& id, std::string_view payload) {
  if (max_records_ == 0) return {};
  if (!is_listed_) TELEM_CHECK(ListKept(id));
  const std::string path = folder_ + "/" + id.ToHex();
  const std::string fresh = folder_ + "/.incoming";
  const auto write = [&]() -> Status {
    TELEM_TRY(const UniqueFd file,
              OpenAt(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0640));
    TELEM_CHECK(WriteAll(file.get(), payload));
    TELEM_CHECK(WriteAll(file.get(), "\n"));
    if (::rename(fresh.c_str(), path.c_str()) != 0) return SystemError("rename", errno);
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(fresh.c_str());
    return WithContext("retain a payload", std::move(written.error()));
  }
  kept_.push_back(id);
  while (static_cast<int64_t>(kept_.size()) > max_records_) RemoveOldest();
  return {};
}

Status Retention::ListKept(const RecordId& newest) {
  TELEM_CHECK(EnsureFolder(folder_, 0750));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder_.c_str()), ::closedir);
  if (dir == nullptr) return SystemError("list '" + folder_ + "'", errno);
  while (const dirent* entry = ::readdir(dir.get())) {
    if (const auto id = ParseRecordId(entry->d_name)) kept_.push_back(*id);
  }
  // One whose time has not come was made while the clock was wrong, and goes first: else it would
  // outlive every newer one.
  std::sort(kept_.begin(), kept_.end(), [&](const RecordId& a, const RecordId& b) {
    const bool is_a_ahead = a > newest;
    const bool is_b_ahead = b > newest;
    return is_a_ahead != is_b_ahead ? is_a_ahead : a < b;
  });
  is_listed_ = true;
  return {};
}

void Retention::Remove(const RecordId& id) {
  if (std::erase(kept_, id) > 0) ::unlink((folder_ + "/" + id.ToHex()).c_str());
}

void Retention::RemoveOldest() {
  ::unlink((folder_ + "/" + kept_.front().ToHex()).c_str());
  kept_.pop_front();
}

}  // namespace telem
