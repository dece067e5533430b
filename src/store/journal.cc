#include "store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kChunk = 64 * 1024;
constexpr size_t kMaxPending = 256 * 1024;

// Reads a file line by line with little memory. (A mapping would be simpler, and kill the daemon
// when somebody truncates the file under it.)
class LineReader {
 public:
  static Result<LineReader> Open(const std::string& path) {
    TELEM_TRY(UniqueFd file, OpenAt(AT_FDCWD, path, O_RDONLY));
    return LineReader(std::move(file));
  }

  // The next line without its newline, valid until the next call; nothing at the end. What is
  // longer than the buffer is no line of ours and comes in pieces.
  Result<std::optional<std::string_view>> Next() {
    while (true) {
      const std::string_view rest = std::string_view(buffer_).substr(start_, end_ - start_);
      const size_t newline = rest.find('\n');
      if (newline != std::string_view::npos) {
        start_ += newline + 1;
        return rest.substr(0, newline);
      }
      if (rest.size() == buffer_.size() || (at_end_ && !rest.empty())) {
        start_ = end_;
        return rest;
      }
      if (at_end_) return std::nullopt;
      TELEM_CHECK(Fill());
    }
  }

 private:
  explicit LineReader(UniqueFd file) : file_(std::move(file)), buffer_(kChunk, '\0') {}

  Status Fill() {
    end_ -= start_;
    std::memmove(buffer_.data(), buffer_.data() + start_, end_);
    start_ = 0;
    const ssize_t n = ::read(file_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (n < 0) return SystemError("read the journal", errno);
    at_end_ = n == 0;
    end_ += static_cast<size_t>(n);
    return {};
  }

  UniqueFd file_;
  std::string buffer_;
  size_t start_ = 0;
  size_t end_ = 0;
  bool at_end_ = false;
};

// Ids are random, so their hash names them well enough.
size_t HashOfId(std::string_view line) {
  return std::hash<std::string_view>()(TakeUntil(line, '\x1e'));
}

// The records to keep: those of the last `max_records` distinct ids. Nothing when these are all.
Result<std::unordered_set<size_t>> FindLatest(const std::string& path, int64_t max_records) {
  std::vector<size_t> ids;
  TELEM_TRY(LineReader lines, LineReader::Open(path));
  while (true) {
    TELEM_TRY(const auto line, lines.Next());
    if (!line) break;
    ids.push_back(HashOfId(*line));
  }
  std::unordered_set<size_t> latest;
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    if (latest.contains(*id)) continue;
    if (static_cast<int64_t>(latest.size()) == max_records) return latest;
    latest.insert(*id);
  }
  return std::unordered_set<size_t>();
}

}  // namespace

Result<Journal> Journal::Open(const std::string& folder, int64_t max_records) {
  Journal journal;
  journal.path_ = folder + "/journal";
  journal.max_records_ = max_records;
  TELEM_CHECK(journal.OpenFile());
  struct stat st;
  if (::fstat(journal.file_.get(), &st) == 0 && st.st_size > 0) {
    char last = '\n';
    const ssize_t n = ::pread(journal.file_.get(), &last, 1, st.st_size - 1);
    journal.is_torn_ = n == 1 && last != '\n';
    // How many records a former daemon left is not worth reading the file for now.
    journal.lines_since_trim_ = 1;
  }
  return journal;
}

Status Journal::OpenFile() {
  TELEM_TRY(file_, OpenAt(AT_FDCWD, path_, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0640));
  return {};
}

void Journal::Add(const JournalLine& line) {
  if (max_records_ == 0) return;
  AppendJournalLine(pending_, line);
  ++lines_since_trim_;
}

Status Journal::Flush() {
  if (pending_.empty()) return {};
  if (is_torn_) pending_.insert(0, 1, '\n');
  const ssize_t n = ::write(file_.get(), pending_.data(), pending_.size());
  const int err = errno;
  const size_t written = n > 0 ? static_cast<size_t>(n) : 0;
  if (written == pending_.size()) {
    is_torn_ = false;
    pending_.clear();
    if (pending_.capacity() > kChunk) pending_.shrink_to_fit();
    return {};
  }
  // Whole lines are there; a torn one is ended and written again.
  if (written > 0) {
    const size_t whole = std::string_view(pending_).substr(0, written).rfind('\n') + 1;
    is_torn_ = written != whole;
    pending_.erase(0, whole);
  } else if (is_torn_) {
    pending_.erase(0, 1);  // the newline from above
  }
  if (pending_.size() > kMaxPending) {
    pending_.erase(0, pending_.find('\n', pending_.size() - kMaxPending) + 1);
  }
  return SystemError("write '" + path_ + "'", n < 0 ? err : ENOSPC);
}

bool Journal::IsOvergrown() const {
  // Two lines a record, and as many again as are kept: so trimming costs each record little.
  return lines_since_trim_ > 2 * std::max<int64_t>(max_records_, 500);
}

Status Journal::Trim() {
  if (lines_since_trim_ == 0) return {};
  lines_since_trim_ = 0;
  TELEM_TRY(const auto latest, FindLatest(path_, max_records_));
  if (latest.empty()) return {};

  const std::string fresh = path_ + ".new";
  const auto write = [&]() -> Status {
    TELEM_TRY(const UniqueFd file,
              OpenAt(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0640));
    TELEM_TRY(LineReader lines, LineReader::Open(path_));
    std::string chunk;
    while (true) {
      TELEM_TRY(const auto line, lines.Next());
      if (!line) break;
      if (!latest.contains(HashOfId(*line))) continue;
      chunk += *line;
      chunk += '\n';
      if (chunk.size() < kChunk) continue;
      TELEM_CHECK(WriteAll(file.get(), chunk));
      chunk.clear();
    }
    TELEM_CHECK(WriteAll(file.get(), chunk));
    // Not synced: the event loop does not wait for a disk, and a power cut that takes the journal
    // takes no record.
    if (::rename(fresh.c_str(), path_.c_str()) != 0) return SystemError("rename", errno);
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(fresh.c_str());
    return WithContext("trim '" + path_ + "'", std::move(written.error()));
  }
  is_torn_ = false;
  return OpenFile();
}

}  // namespace telem
