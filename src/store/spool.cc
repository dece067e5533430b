#include "store/spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// A file has its name from the first on, and nobody may read it until all of it is there: what a
// kill leaves of one is known by that, and goes at the next start. Giving it its name only then
// would take a tenth of telemd's time for each record.
constexpr mode_t kUnfinished = S_IWUSR;
constexpr mode_t kWhole = S_IRUSR | S_IWUSR;

// So many files of unknown severity are read when one record has to make room.
constexpr int kSeveritiesAtOnce = 16;

Status WriteParts(int fd, std::string_view header_text, std::string_view payload) {
  iovec parts[3] = {{const_cast<char*>(header_text.data()), header_text.size()},
                    {const_cast<char*>(payload.data()), payload.size()},
                    {const_cast<char*>("\n"), 1}};
  const size_t size = header_text.size() + payload.size() + 1;
  const ssize_t n = ::writev(fd, parts, 3);
  if (n < 0) return SystemError("write", errno);
  // Disks do not take a part of a write for any reason but that they are full.
  if (static_cast<size_t>(n) != size) return SystemError("write", ENOSPC);
  return {};
}

}  // namespace

Spool::Spool(const Clock& clock, const std::string& rejected_folder)
    : clock_(&clock), rejected_(rejected_folder), list_({0, ::geteuid()}) {}

Result<Spool> Spool::Open(const Clock& clock, const std::string& folder,
                          const std::string& rejected_folder) {
  Spool spool(clock, rejected_folder);
  // The administrator may have put it on another disk, by a link as well.
  TELEM_TRY(spool.folder_, OpenAt(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY));
  if (::flock(spool.folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Fail(ErrorCode::kBusy, "'" + folder + "': another telemd keeps its records there");
    }
    return SystemError("lock '" + folder + "'", errno);
  }
  TELEM_TRY(UniqueFd scan, OpenAt(spool.folder_.get(), ".", O_RDONLY | O_DIRECTORY));
  spool.scan_.reset(::fdopendir(scan.get()));
  if (spool.scan_ == nullptr) return SystemError("list '" + folder + "'", errno);
  (void)scan.Release();
  return spool;
}

Result<WaitingRecord> Spool::Put(const SpoolFileName& name, unsigned severity,
                                 std::string_view header_text, std::string_view payload) {
  const std::string file_name = name.ToText();
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), file_name, O_WRONLY | O_CREAT | O_EXCL, kUnfinished));
  Status written = WriteParts(file.get(), header_text, payload);
  if (written && ::fchmod(file.get(), kWhole) != 0) written = SystemError("chmod", errno);
  if (!written) {
    ::unlinkat(folder_.get(), file_name.c_str(), 0);
    return WithContext("keep a record in the spool", std::move(written.error()));
  }
  if (is_scanning() && !scans_foreign_) own_.insert(name.id);
  WaitingRecord record{.name = name, .since = WaitingSeconds(clock_->Monotonic())};
  record.SetSize(header_text.size() + payload.size() + 1);
  record.SetSeverity(severity);
  list_.Count(record);
  return record;
}

Result<WaitingRecord> Spool::TakeBack(const std::string& rejected_name, const SpoolFileName& name,
                                      size_t size) {
  TELEM_CHECK(rejected_.GiveBack(rejected_name, folder_.get(), name.ToText()));
  if (is_scanning() && !scans_foreign_) own_.insert(name.id);
  WaitingRecord record{.name = name, .since = SinceOf(name.id.Time())};
  record.SetSize(size);
  list_.Count(record);
  return record;
}

namespace {

bool Fits(uint64_t blocks, int64_t max_kib) {
  return max_kib < 0 || blocks * 4096 <= static_cast<uint64_t>(max_kib) * 1024;
}

uint64_t BlocksFor(size_t bytes) { return (bytes + 1 + 4095) / 4096; }

}  // namespace

bool Spool::HasRoom(uid_t uid, size_t bytes, const Bounds& bounds) const {
  const uint64_t more = BlocksFor(bytes);
  return Fits(list_.held().blocks + leftover_blocks_ + more, bounds.max_kib) &&
         Fits(held(uid).blocks + more, bounds.uid_max_kib);
}

std::optional<WaitingRecord> Spool::TakeForRoom(uid_t uid, size_t bytes, const Bounds& bounds) {
  const uint64_t more = BlocksFor(bytes);
  const size_t own = list_.HolderOf(uid);
  const uint64_t in_all = list_.held().blocks + leftover_blocks_ + more;
  const uint64_t of_uid = list_.held(own).blocks + more;
  if (!Fits(in_all - list_.waiting_blocks(), bounds.max_kib) ||
      !Fits(of_uid - list_.waiting_blocks(own), bounds.uid_max_kib)) {
    return std::nullopt;
  }
  std::optional<size_t> from;
  if (!Fits(of_uid, bounds.uid_max_kib)) {
    from = own;
  } else if (!Fits(in_all, bounds.max_kib)) {
    from = list_.FindLargest();
  }
  if (!from) return std::nullopt;
  LearnSeverities(*from);
  return list_.TakeLeast(*from);
}

void Spool::LearnSeverities(size_t holder) {
  for (int i = 0; i < kSeveritiesAtOnce; ++i) {
    auto record = list_.TakeUnknown(holder);
    if (!record) return;
    const std::string text = ReadHeaders(record->name.ToText());
    const auto headers = SplitHeaders(text);
    // One that is not to be read is worth least.
    record->SetSeverity(1);
    if (headers && CheckHeaders(*headers)) record->SetSeverity(SeverityOf(*headers));
    list_.Add(*record);
  }
}

void Spool::PutBack(const WaitingRecord& record) {
  list_.Add(record);
  list_.Release(record);
}

Result<std::string> Spool::Read(const WaitingRecord& record) const {
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), record.name.ToText(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  std::string bytes;
  // The size is known but for the padding to whole blocks; one byte more shows a file that grew.
  bytes.resize(record.blocks() * kBlock + 1);
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("read '" + record.name.ToText() + "'", errno);
    size += static_cast<size_t>(n);
    // Files end where they say; a short read of one is its end.
    if (n == 0 || size < bytes.size()) break;
  }
  bytes.resize(size);
  return bytes;
}

Status Spool::Remove(const WaitingRecord& record) {
  if (::unlinkat(folder_.get(), record.name.ToText().c_str(), 0) != 0 && errno != ENOENT) {
    return SystemError("remove '" + record.name.ToText() + "' from the spool", errno);
  }
  return {};
}

Result<bool> Spool::ScanSome(size_t count, const std::function<void(const Found&)>& tell) {
  if (scan_ == nullptr) return false;
  for (size_t i = 0; i < count; ++i) {
    errno = 0;
    const dirent* entry = ::readdir(scan_.get());
    if (entry == nullptr) {
      if (errno != 0) {
        const int err = errno;
        if (!scans_foreign_) list_.ForEach([&](const auto& record) { own_.insert(record.id()); });
        ::rewinddir(scan_.get());
        return SystemError("list the spool", err);
      }
      own_.clear();
      if (has_foreign_ && !scans_foreign_) {
        scans_foreign_ = true;
        ::rewinddir(scan_.get());
        continue;
      }
      scan_.reset();
      return false;
    }
    if (entry->d_name[0] == '.') continue;
    const std::string file_name = entry->d_name;
    const auto name = ParseSpoolFileName(file_name);
    if (!name) has_foreign_ = true;
    if (name.has_value() == scans_foreign_ || (name && own_.contains(name->id))) continue;
    auto found = Look(file_name, name);
    if (!found) continue;
    if (found->kind == Found::Kind::kInvalid && !rejected_.HasPlaceFor(folder_.get(), file_name)) {
      found->kind = Found::Kind::kStays;
      found->reason += ", and has no place among the rejected ones";
    }
    tell(*found);
  }
  return true;
}

// What one file is; `name` is its name, if that is one of ours. Nothing when it is gone, as one is
// after this that was never whole: its sender was not told that it is kept.
std::optional<Spool::Found> Spool::Look(const std::string& file_name,
                                        const std::optional<SpoolFileName>& name) {
  struct stat st;
  if (::fstatat(folder_.get(), file_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::nullopt;
  }
  Found found;
  found.kind = Found::Kind::kInvalid;
  found.file_name = file_name;
  if (name) found.name = *name;
  if (!S_ISREG(st.st_mode)) {
    found.reason = "no regular file";
    return found;
  }
  found.size = static_cast<uint64_t>(st.st_size);
  const int64_t mtime_ms =
      static_cast<int64_t>(st.st_mtim.tv_sec) * 1000 + st.st_mtim.tv_nsec / 1'000'000;
  found.came = WallTime(std::chrono::milliseconds(mtime_ms));
  if (st.st_uid != ::geteuid()) {
    found.reason = "belongs to another user";
  } else if (name && (st.st_mode & ACCESSPERMS) == kUnfinished) {
    if (::unlinkat(folder_.get(), file_name.c_str(), 0) == 0) return std::nullopt;
    found.kind = Found::Kind::kStays;
    found.reason = "was never whole, and cannot be removed";
  } else if (found.size > kMaxSpoolFile) {
    found.reason = "too large for a record";
  } else if (!name) {
    if (const Status taken = TakeOverForeign(found, mtime_ms, st.st_uid); !taken) {
      found.reason = taken.error().message;
      const ErrorCode code = taken.error().code;
      if (code != ErrorCode::kInvalid && code != ErrorCode::kTooLarge) {
        found.kind = Found::Kind::kStays;
      }
    }
  } else if (found.size <= name->payload_size) {
    found.reason = "shorter than its name says";
  } else {
    found.kind = Found::Kind::kRecord;
    Add(found.name, found.size, mtime_ms);
    return found;
  }
  if (found.kind == Found::Kind::kInvalid) found.header_text = ReadHeaders(file_name);
  return found;
}

// A file of 1.x or 2.x gets an id (its time from the file's) and a name of ours. The 2.x line that
// names a configuration file stays in it and is skipped when it is read.
Status Spool::TakeOverForeign(Found& found, int64_t mtime_ms, uid_t uid) {
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), found.file_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  TELEM_TRY(const std::string bytes, ReadAll(file.get(), kMaxSpoolFile));
  TELEM_TRY(const SpoolFileParts parts, ParseSpoolFile(bytes));
  const SpoolFileName name{MakeRecordId(WallTime(std::chrono::milliseconds(mtime_ms))), uid,
                           static_cast<uint32_t>(parts.payload.size())};
  if (::renameat(folder_.get(), found.file_name.c_str(), folder_.get(), name.ToText().c_str()) !=
      0) {
    return SystemError("rename '" + found.file_name + "'", errno);
  }
  found.kind = Found::Kind::kTakenOverFrom1x;
  found.name = name;
  Add(name, bytes.size(), mtime_ms);
  return {};
}

int32_t Spool::SinceOf(WallTime time) const {
  // One from the future, or from before there were any, is of now: the clock was wrong then or is
  // now.
  auto age = std::max<std::chrono::milliseconds>(clock_->Now() - time, {});
  if (time < kFirstRecord) age = {};
  return WaitingSeconds(clock_->Monotonic() - std::min(age, kLongestAge));
}

Status Spool::Restamp(const WaitingRecord& record) const {
  // Of the second in which it came the end: rounded down, it would be from before a consent that
  // was given in that second.
  const MonotonicTime came(std::chrono::seconds(record.since + int64_t{1}));
  const auto age = std::max<std::chrono::nanoseconds>(clock_->Monotonic() - came, {});
  const auto time =
      (clock_->Now() - std::chrono::floor<std::chrono::milliseconds>(age)).time_since_epoch();
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const timespec times[] = {
      {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
      {.tv_sec = second.count(), .tv_nsec = std::chrono::nanoseconds(time - second).count()}};
  if (::utimensat(folder_.get(), record.name.ToText().c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return SystemError("set the time of '" + record.name.ToText() + "'", errno);
  }
  return {};
}

// Lets a found record wait. It does so since its file says, not since its id does: one that was
// imported from another machine is older than its time here.
void Spool::Add(const SpoolFileName& name, uint64_t size, int64_t mtime_ms) {
  WaitingRecord record{.name = name,
                       .since = SinceOf(WallTime(std::chrono::milliseconds(mtime_ms)))};
  record.SetSize(size);
  list_.Count(record);
  list_.Add(record);
}

// The header lines at the front of a file; nothing where they are not in order.
std::string Spool::ReadHeaders(const std::string& file_name) const {
  const auto file = OpenAt(folder_.get(), file_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) return "";
  // A 2.x file may have a line of a path in front.
  std::string bytes(kMaxHeaders + 4096, '\0');
  const ssize_t n = ::read(file->get(), bytes.data(), bytes.size());
  if (n <= 0) return "";
  std::string_view rest(bytes.data(), static_cast<size_t>(n));
  if (rest.starts_with("CFG:")) TakeUntil(rest, '\n');
  const std::string_view whole = rest;
  if (!TakeHeaders(rest)) return "";
  return std::string(whole.substr(0, whole.size() - rest.size()));
}

}  // namespace telem
