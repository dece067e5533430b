#include "deliver/record_input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "record/spool_file.h"

namespace telem {
namespace {

constexpr size_t kChunk = 64 * 1024;
constexpr size_t kMaxLine = 16 * 1024;

// How a record in text form begins; the second is a 2.x spool file.
constexpr std::string_view kTextStarts[] = {"record_format_version: ", "CFG:"};

}  // namespace

Status RecordInput::Read() {
  bytes_.erase(0, taken_);
  taken_ = 0;
  const size_t size = bytes_.size();
  if (size > kMaxSpoolFile) return Fail(ErrorCode::kTooLarge, "more than a record can be");
  bytes_.resize(size + kChunk);
  ssize_t n;
  do {
    n = ::read(fd_, bytes_.data() + size, kChunk);
  } while (n < 0 && errno == EINTR);
  const int err = errno;
  bytes_.resize(size + static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) return SystemError("read standard input", err);
  at_end_ = n == 0;
  return {};
}

Result<std::optional<std::string>> RecordInput::TakeLine() {
  std::string_view left = rest();
  if (!left.contains('\n')) {
    if (left.size() > kMaxLine || at_end_) return Fail(ErrorCode::kInvalid, "no line of settings");
    return std::nullopt;
  }
  std::string line(TakeUntil(left, '\n'));
  taken_ += line.size() + 1;
  return line;
}

Result<std::optional<DeliveryRecord>> RecordInput::TakeRecord() {
  std::string_view left = rest();
  const size_t before = left.size();
  TELEM_TRY(const auto record, TakeDeliveryRecord(left));
  taken_ += before - left.size();
  if (!record && at_end_ && !left.empty()) {
    return Fail(ErrorCode::kInvalid, "the input ends within a record");
  }
  return record;
}

std::optional<bool> RecordInput::IsText() const {
  for (const std::string_view start : kTextStarts) {
    if (rest().starts_with(start)) return true;
    if (!at_end_ && start.starts_with(rest())) return std::nullopt;
  }
  return false;
}

}  // namespace telem
