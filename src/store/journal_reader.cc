#include "store/journal_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// Far above what the daemon writes: ids, a classification, a sentence from a server.
constexpr size_t kMaxLine = 16'384;

bool IsSameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

Status JournalReader::ReadNew(const Changed& changed) {
  if (file_.valid()) {
    struct stat mine;
    struct stat named;
    if (::fstat(file_.get(), &mine) != 0) return SystemError("'" + path_ + "'", errno);
    const bool is_there = ::stat(path_.c_str(), &named) == 0;
    const bool is_cut = mine.st_size < offset_;
    // What was appended before the file was replaced is in the old one.
    if (!is_cut) TELEM_CHECK(ReadToEnd());
    Tell(changed);
    if (is_there && IsSameFile(mine, named) && !is_cut) return {};
  }

  std::unordered_map<std::string, std::pair<std::optional<RecordState>, std::string>> known;
  for (JournalEntry& entry : entries_) {
    known[std::move(entry.record_id)] = {entry.state, std::move(entry.detail)};
  }
  Forget();
  TELEM_CHECK(OpenAnew());
  TELEM_CHECK(ReadToEnd());
  Tell([&](const JournalEntry& entry, bool) {
    const auto at = known.find(entry.record_id);
    const bool is_new = at == known.end();
    if (is_new || at->second != std::pair(entry.state, entry.detail)) changed(entry, is_new);
  });
  return {};
}

Status JournalReader::OpenAnew() {
  TELEM_TRY(file_, OpenAt(AT_FDCWD, path_, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat st;
  if (::fstat(file_.get(), &st) == 0 && S_ISREG(st.st_mode)) return {};
  file_.Reset();
  return Fail(ErrorCode::kInvalid, "'" + path_ + "' is not a regular file");
}

Status JournalReader::ReadToEnd() {
  std::array<char, 65'536> buffer;
  while (true) {
    const ssize_t n = ::pread(file_.get(), buffer.data(), buffer.size(), offset_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("read '" + path_ + "'", errno);
    if (n == 0) return {};
    offset_ += n;
    TakeBytes({buffer.data(), static_cast<size_t>(n)});
  }
}

void JournalReader::TakeBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const bool ends = bytes.contains('\n');
    const std::string_view piece = TakeUntil(bytes, '\n');
    if (partial_.size() + piece.size() > kMaxLine) skips_line_ = true;
    if (!skips_line_) partial_ += piece;
    if (!ends) continue;
    if (!skips_line_) TakeLine(partial_);
    partial_.clear();
    skips_line_ = false;
  }
}

void JournalReader::TakeLine(std::string_view text) {
  const auto line = ParseJournalLine(text);
  if (!line) return;
  const auto [at, is_new] =
      numbers_.try_emplace(std::string(line->record_id), first_ + entries_.size());
  if (is_new) {
    JournalEntry& entry = entries_.emplace_back();
    entry.record_id = line->record_id;
    entry.time = line->time;
    entry.classification = line->classification;
    entry.event_id = line->event_id;
    entry.boot_id = line->boot_id;
  }
  news_.push_back({.number = at->second, .is_new = is_new});
  if (line->state) {
    JournalEntry& entry = entries_[at->second - first_];
    entry.state = line->state;
    entry.detail = line->detail;
    // Of one whose file could not be read any more only the first line says what it was.
    if (line->severity != 0 || entry.severity == 0) {
      entry.severity = line->severity;
      entry.bytes = line->bytes;
    }
    // A daemon that found the record at its start does not know who sent it any more.
    if (!line->comm.empty() || entry.comm.empty()) {
      entry.uid = line->uid;
      entry.pid = line->pid;
      entry.comm = line->comm;
    }
  }
  if (entries_.size() > kMaxEntries) {
    numbers_.erase(entries_.front().record_id);
    entries_.pop_front();
    ++first_;
  }
}

void JournalReader::Forget() {
  file_.Reset();
  offset_ = 0;
  partial_.clear();
  skips_line_ = false;
  entries_.clear();
  first_ = 0;
  numbers_.clear();
  news_.clear();
}

void JournalReader::Tell(const Changed& changed) {
  // A record may have several lines; the one that made it new goes first.
  std::sort(news_.begin(), news_.end(), [](const News& a, const News& b) {
    return std::pair(a.number, !a.is_new) < std::pair(b.number, !b.is_new);
  });
  const auto end = std::unique(news_.begin(), news_.end(),
                               [](const News& a, const News& b) { return a.number == b.number; });
  for (auto news = news_.begin(); news != end; ++news) {
    if (news->number >= first_) changed(entries_[news->number - first_], news->is_new);
  }
  news_.clear();
}

}  // namespace telem
