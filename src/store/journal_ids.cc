#include "store/journal_ids.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"

namespace telem {
namespace {

// Takes the first field of each line, however the bytes are cut into pieces.
class IdTaker {
 public:
  void Take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        column_ = 0;
      } else if (column_ < kHexIdSize) {
        hex_[column_++] = c;
      } else if (column_ == kHexIdSize) {
        ++column_;
        const auto id = ParseRecordId(std::string_view(hex_.data(), hex_.size()));
        if (c == '\x1e' && id) ids_.push_back(*id);
      }
    }
  }

  std::vector<RecordId> Finish() {
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
    return std::move(ids_);
  }

 private:
  std::array<char, kHexIdSize> hex_{};
  size_t column_ = 0;  // within the id; one past it, the rest of the line
  std::vector<RecordId> ids_;
};

}  // namespace

Result<std::vector<RecordId>> ReadJournalIds(const std::string& path) {
  const auto file = OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!file && file.error().code == ErrorCode::kNotFound) return std::vector<RecordId>();
  if (!file) return std::unexpected(file.error());
  IdTaker ids;
  std::array<char, 16 * 1024> bytes;
  while (true) {
    const ssize_t n = ::read(file->get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("read '" + path + "'", errno);
    if (n == 0) return ids.Finish();
    ids.Take({bytes.data(), static_cast<size_t>(n)});
  }
}

}  // namespace telem
