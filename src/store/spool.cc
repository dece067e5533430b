#include "store/spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/files.h"

namespace telem {
namespace {

// One thread writes one file at a time, so one name is enough; what a kill leaves there is
// overwritten by the next record. The dot keeps it out of every listing of records.
constexpr const char* kIncoming = ".incoming";

uint32_t BlocksOf(uint64_t bytes) { return static_cast<uint32_t>((bytes + 4095) / 4096); }

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

Result<Spool> Spool::Open(const std::string& folder, const std::string& rejected_folder) {
  Spool spool(rejected_folder);
  TELEM_TRY(spool.folder_, OpenFolder(folder));
  if (::flock(spool.folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Fail(ErrorCode::kBusy, "'" + folder + "': another telemd keeps its records there");
    }
    return SystemError("lock '" + folder + "'", errno);
  }
  ::unlinkat(spool.folder_.get(), kIncoming, 0);
  TELEM_TRY(UniqueFd scan, OpenAt(spool.folder_.get(), ".", O_RDONLY | O_DIRECTORY));
  spool.scan_.reset(::fdopendir(scan.get()));
  if (spool.scan_ == nullptr) return SystemError("list '" + folder + "'", errno);
  (void)scan.Release();
  return spool;
}

Result<WaitingRecord> Spool::Put(const SpoolFileName& name, std::string_view header_text,
                                 std::string_view payload) {
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), kIncoming, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  Status written = WriteParts(file.get(), header_text, payload);
  if (written && ::renameat(folder_.get(), kIncoming, folder_.get(), name.ToText().c_str()) != 0) {
    written = SystemError("rename", errno);
  }
  if (!written) {
    ::unlinkat(folder_.get(), kIncoming, 0);
    return WithContext("keep a record in the spool", std::move(written.error()));
  }
  if (is_scanning()) own_.insert(name.id);
  const WaitingRecord record{name, BlocksOf(header_text.size() + payload.size() + 1)};
  blocks_ += record.blocks;
  return record;
}

Result<WaitingRecord> Spool::TakeBack(const std::string& rejected_name, const SpoolFileName& name,
                                      size_t size) {
  TELEM_CHECK(rejected_.GiveBack(rejected_name, folder_.get(), name.ToText()));
  if (is_scanning()) own_.insert(name.id);
  const WaitingRecord record{name, BlocksOf(size)};
  blocks_ += record.blocks;
  return record;
}

bool Spool::HasRoom(size_t bytes, int64_t max_kib) const {
  if (max_kib < 0) return true;
  return (blocks_ + BlocksOf(bytes)) * kBlock <= static_cast<uint64_t>(max_kib) * 1024;
}

void Spool::PutBack(const WaitingRecord& record) {
  const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const WaitingRecord& other) {
    return record.id() < other.id();
  });
  waiting_.insert(at, record);
}

std::optional<WaitingRecord> Spool::TakeOldest() {
  if (waiting_.empty()) return std::nullopt;
  const WaitingRecord record = waiting_.front();
  waiting_.pop_front();
  return record;
}

std::optional<WaitingRecord> Spool::Find(const RecordId& id) const {
  const auto is_it = [&](const WaitingRecord& record) { return record.id() == id; };
  if (const auto at = std::find_if(waiting_.begin(), waiting_.end(), is_it); at != waiting_.end()) {
    return *at;
  }
  const auto at = std::find_if(found_.begin(), found_.end(), is_it);
  return at == found_.end() ? std::nullopt : std::optional(*at);
}

std::optional<WaitingRecord> Spool::Take(const RecordId& id) {
  const auto record = Find(id);
  if (record) {
    const auto is_it = [&](const WaitingRecord& other) { return other.id() == id; };
    std::erase_if(found_, is_it);
    std::erase_if(waiting_, is_it);
  }
  return record;
}

Result<std::string> Spool::Read(const WaitingRecord& record) const {
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), record.name.ToText(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  std::string bytes;
  // The size is known but for the padding to whole blocks; one byte more shows a file that grew.
  bytes.resize(record.blocks * kBlock + 1);
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
  blocks_ -= record.blocks;
  return {};
}

Status Spool::Reject(const WaitingRecord& record, std::string_view reason) {
  TELEM_CHECK(rejected_.TakeIn(folder_.get(), record.name.ToText(), reason));
  blocks_ -= record.blocks;
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
        for (const WaitingRecord& found : found_) own_.insert(found.id());
        ::rewinddir(scan_.get());
        return SystemError("list the spool", err);
      }
      scan_.reset();
      own_.clear();
      // Found records are older than those that came since; ids sort by time.
      std::sort(found_.begin(), found_.end(),
                [](const WaitingRecord& a, const WaitingRecord& b) { return a.id() < b.id(); });
      waiting_.insert(waiting_.begin(), found_.begin(), found_.end());
      std::vector<WaitingRecord>().swap(found_);
      return false;
    }
    if (entry->d_name[0] == '.') continue;
    if (const auto found = Look(entry->d_name)) {
      if (found->kind == Found::Kind::kRecord || found->kind == Found::Kind::kTakenOverFrom1x) {
        found_.push_back(found->record);
        blocks_ += found->record.blocks;
      }
      tell(*found);
    }
  }
  return true;
}

// What one file is. Nothing when it is gone, or one that this daemon put there itself since it
// started.
std::optional<Spool::Found> Spool::Look(const std::string& file_name) {
  const auto name = ParseSpoolFileName(file_name);
  if (name && own_.contains(name->id)) return std::nullopt;
  struct stat st;
  if (::fstatat(folder_.get(), file_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::nullopt;
  }
  const auto reject = [&](std::string reason) {
    if (const Status moved = rejected_.TakeIn(folder_.get(), file_name, reason); !moved) {
      reason += "; " + moved.error().message;
    }
    return Found{Found::Kind::kRejected, file_name, {}, std::move(reason)};
  };
  if (!S_ISREG(st.st_mode)) return reject("no regular file");
  if (st.st_uid != ::geteuid()) return reject("belongs to another user");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size > kMaxSpoolFile) return reject("too large for a record");
  if (name) {
    if (size <= name->payload_size) return reject("shorter than its name says");
    return Found{Found::Kind::kRecord, file_name, {*name, BlocksOf(size)}, ""};
  }
  const int64_t mtime_ms =
      static_cast<int64_t>(st.st_mtim.tv_sec) * 1000 + st.st_mtim.tv_nsec / 1'000'000;
  auto record = TakeOverForeign(file_name, st.st_uid, mtime_ms);
  if (!record && record.error().code != ErrorCode::kInvalid &&
      record.error().code != ErrorCode::kTooLarge) {
    return Found{Found::Kind::kUnreadable, file_name, {}, record.error().message};
  }
  if (!record) return reject(record.error().message);
  return Found{Found::Kind::kTakenOverFrom1x, file_name, *record, ""};
}

// A file of 1.x or 2.x gets an id (its time from the file's) and a name of ours. The 2.x line that
// names a configuration file stays in it and is skipped when it is read.
Result<WaitingRecord> Spool::TakeOverForeign(const std::string& file_name, uint32_t uid,
                                             int64_t mtime_ms) {
  TELEM_TRY(const UniqueFd file,
            OpenAt(folder_.get(), file_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  TELEM_TRY(const std::string bytes, ReadAll(file.get(), kMaxSpoolFile));
  TELEM_TRY(const SpoolFileParts parts, ParseSpoolFile(bytes));
  const SpoolFileName name{MakeRecordId(WallTime(std::chrono::milliseconds(mtime_ms))), uid,
                           static_cast<uint32_t>(parts.payload.size())};
  if (::renameat(folder_.get(), file_name.c_str(), folder_.get(), name.ToText().c_str()) != 0) {
    return SystemError("rename '" + file_name + "'", errno);
  }
  own_.insert(name.id);
  return WaitingRecord{name, BlocksOf(bytes.size())};
}

}  // namespace telem
