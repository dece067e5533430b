#include "store/journal_search.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kPiece = size_t{16} * 1024;
// No line of ours is longer (journal_line.h); the rest of one that is, is no line either.
constexpr size_t kMaxLine = size_t{16} * 1024;

}  // namespace

Result<JournalSearch> JournalSearch::Open(const std::string& path, std::string event_id) {
  TELEM_TRY(UniqueFd file, OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
  return JournalSearch(std::move(file), std::move(event_id));
}

Result<bool> JournalSearch::ReadSome() {
  std::array<char, kPiece> bytes;
  ssize_t n;
  do {
    n = ::read(file_.get(), bytes.data(), bytes.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return SystemError("read the journal", errno);
  if (n == 0) return false;
  unread_.append(bytes.data(), static_cast<size_t>(n));
  std::string_view rest = unread_;
  while (rest.contains('\n')) TakeLine(TakeUntil(rest, '\n'));
  if (rest.size() > kMaxLine) rest = {};
  unread_ = std::string(rest);
  return true;
}

void JournalSearch::TakeLine(std::string_view text) {
  const auto line = ParseJournalLine(text);
  if (!line) return;
  // A later line of a record may lack what it was.
  const bool is_known = found_ && line->record_id == found_->record_id;
  if (!is_known && line->event_id != event_id_) return;
  found_ = Found{.record_id = std::string(line->record_id),
                 .time = line->time,
                 .state = line->state,
                 .detail = std::string(line->detail)};
}

}  // namespace telem
