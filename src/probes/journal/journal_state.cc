#include "probes/journal/journal_state.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// 512 units with names of 256 bytes and ten times each, and some more.
constexpr size_t kMaxFile = size_t{512} * 1024;
constexpr size_t kMaxCursor = 512;

}  // namespace

std::string JournalState::ToText() const { return cursor + "\n" + counts.Save(); }

JournalState JournalState::FromText(std::string_view text) {
  JournalState state;
  const std::string_view cursor = TakeUntil(text, '\n');
  if (cursor.size() <= kMaxCursor && IsPrintableAscii(cursor)) state.cursor = cursor;
  state.counts = FailureCounts::Load(text);
  return state;
}

Result<LockedJournalState> LockedJournalState::Open(const std::string& path) {
  LockedJournalState file;
  file.path_ = path;
  // Everybody may read both files: what root has left behind, having run the probe by hand, must
  // not be in the way of the user that it runs as otherwise.
  TELEM_TRY(file.lock_,
            OpenAt(AT_FDCWD, path + ".lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644));
  while (::flock(file.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Fail(ErrorCode::kBusy, "another journalprobe runs already");
    if (errno != EINTR) return SystemError("lock '" + path + "'", errno);
  }
  auto text = ReadFile(path, kMaxFile);
  // Too large is damage, and starts from nothing: each entry has its event id, by which a record
  // that comes again is known.
  if (text) {
    file.state = JournalState::FromText(*text);
  } else if (text.error().code != ErrorCode::kNotFound &&
             text.error().code != ErrorCode::kTooLarge) {
    return std::unexpected(std::move(text.error()));
  }
  return file;
}

Status LockedJournalState::Save() const {
  return ReplaceFile(path_, state.ToText(), 0644, Durability::kLater);
}

}  // namespace telem
