#include "ctl/spool_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "record/spool_export.h"

namespace telem {
namespace {

constexpr size_t kPiece = size_t{16} * 1024;  // of a record in a request
constexpr size_t kReadStep = size_t{64} * 1024;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// The file that records are exported to. What is not finished is removed.
class ExportFile {
 public:
  static Result<ExportFile> Open(const std::string& path, bool must_be_safe) {
    if (path != "-") {
      auto fd = OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
      if (fd) return ExportFile(std::move(*fd), path);
      if (fd.error().err == EEXIST) {
        return Fail(ErrorCode::kInvalid, "'" + path + "' is there already, leaving it as it is");
      }
      return std::unexpected(fd.error());
    }
    if (::isatty(STDOUT_FILENO) == 1) {
      return Fail(ErrorCode::kInvalid, "not writing an export to a terminal");
    }
    struct stat st;
    const bool is_file = ::fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    if (must_be_safe && !is_file) {
      return Fail(ErrorCode::kInvalid,
                  "--remove needs a file: nobody knows what becomes of what goes into a pipe");
    }
    UniqueFd fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!fd.valid()) return SystemError("standard output", errno);
    return ExportFile(std::move(fd), "");
  }

  ExportFile(ExportFile&&) noexcept = default;
  ExportFile& operator=(ExportFile&&) = delete;
  ~ExportFile() {
    if (fd_.valid() && !path_.empty() && !is_finished_) ::unlink(path_.c_str());
  }

  Status Add(const SpoolFileName& name, std::string_view bytes) {
    TELEM_CHECK(Write(ExportHead(name, bytes)));
    return Write(bytes);
  }
  Status Write(std::string_view bytes) {
    auto written = WriteAll(fd_.get(), bytes);
    if (!written) return WithContext(path_.empty() ? "standard output" : path_, written.error());
    return written;
  }
  Status Finish() {
    // A pipe cannot be synced, and need not be.
    if (::fsync(fd_.get()) != 0 && errno != EINVAL && errno != EROFS) {
      return SystemError("sync '" + path_ + "'", errno);
    }
    if (!path_.empty()) {
      TELEM_TRY(const UniqueFd folder, OpenAt(AT_FDCWD, FolderOf(path_), O_RDONLY | O_DIRECTORY));
      if (::fsync(folder.get()) != 0 && errno != EINVAL) {
        return SystemError("sync '" + FolderOf(path_) + "'", errno);
      }
    }
    is_finished_ = true;
    return {};
  }

 private:
  ExportFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::string path_;  // empty: not ours to remove
  bool is_finished_ = false;
};

struct Exported {
  std::vector<std::string> ids;
  size_t bytes = 0;
};

Result<Exported> Export(ControlClient& client, ExportFile& file) {
  TELEM_TRY(const auto records, ListRecords(client, "spool-list"));
  Exported exported;
  TELEM_CHECK(file.Write(kExportStart));
  for (const ControlClient::Line& line : records) {
    const auto record = FetchRecord(client, "spool-show", FieldOf(line.fields, "id"));
    // Delivered, or given up, since the list was made.
    if (!record && record.error().code == ErrorCode::kNotFound) continue;
    if (!record) return std::unexpected(record.error());
    const auto name = ParseSpoolFileName(record->name);
    if (!name || !ParseSpoolFile(record->bytes, name->payload_size)) continue;  // a damaged one
    TELEM_CHECK(file.Add(*name, record->bytes));
    exported.ids.push_back(name->id.ToHex());
    exported.bytes += record->bytes.size();
  }
  TELEM_CHECK(file.Write(ExportEnd(exported.ids.size())));
  TELEM_CHECK(file.Finish());
  return exported;
}

// The records of an export, one after the other.
class ImportFile {
 public:
  static Result<ImportFile> Open(const std::string& path) {
    if (path == "-") return OpenStdin();
    TELEM_TRY(UniqueFd fd, OpenAt(AT_FDCWD, path, O_RDONLY));
    struct stat st;
    if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
      return Fail(ErrorCode::kInvalid, "'" + path + "' is no regular file");
    }
    return ImportFile(std::move(fd));
  }

  // From the beginning.
  Status Rewind() {
    if (::lseek(fd_.get(), 0, SEEK_SET) != 0)
      return SystemError("read it from the beginning", errno);
    *this = ImportFile(std::move(fd_));
    while (buffer_.size() < kExportStart.size()) {
      TELEM_TRY(const bool has_more, Fill());
      if (!has_more) break;
    }
    if (!buffer_.starts_with(kExportStart))
      return Damaged("not an export of 'telemctl spool export'");
    taken_ = kExportStart.size();
    return {};
  }

  // The next record, valid until the next call; nothing at the end, where all of it was right.
  Result<std::optional<ExportItem>> Next() {
    while (true) {
      std::string_view rest = std::string_view(buffer_).substr(taken_);
      const size_t size = rest.size();
      auto item = TakeExportItem(rest);
      if (!item) return Damaged(item.error().message);
      if (*item) {
        taken_ += size - rest.size();
        if ((*item)->kind == ExportItem::Kind::kRecord) {
          ++count_;
          return item;
        }
        TELEM_TRY(const bool has_more, Fill());
        if ((*item)->count != count_) return Damaged("not all of its records");
        if (has_more || taken_ < buffer_.size()) return Damaged("something behind its end");
        return std::nullopt;
      }
      TELEM_TRY(const bool has_more, Fill());
      if (!has_more) return Damaged("it is cut off");
    }
  }

  size_t count() const { return count_; }

 private:
  explicit ImportFile(UniqueFd fd) : fd_(std::move(fd)) {}

  // Twice through the same bytes needs a file.
  static Result<ImportFile> OpenStdin() {
    TELEM_TRY(UniqueFd copy, OpenAt(AT_FDCWD, "/var/tmp", O_RDWR | O_TMPFILE, 0600));
    std::string bytes(kReadStep, '\0');
    while (true) {
      const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError("read standard input", errno);
      if (n == 0) return ImportFile(std::move(copy));
      TELEM_CHECK(WriteAll(copy.get(), std::string_view(bytes).substr(0, static_cast<size_t>(n))));
    }
  }

  Result<bool> Fill() {
    buffer_.erase(0, std::exchange(taken_, 0));
    const size_t size = buffer_.size();
    buffer_.resize(size + kReadStep);
    ssize_t n;
    do {
      n = ::read(fd_.get(), buffer_.data() + size, kReadStep);
    } while (n < 0 && errno == EINTR);
    buffer_.resize(size + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0) return SystemError("read", errno);
    return n > 0;
  }

  std::unexpected<Error> Damaged(std::string_view what) const {
    return Fail(ErrorCode::kInvalid, std::string(what) + ", behind " + CountText(count_));
  }

  UniqueFd fd_;
  std::string buffer_;
  size_t taken_ = 0;  // of the buffer
  size_t count_ = 0;
};

// Looks through all of it before anything is done.
Status CheckWhole(ImportFile& file) {
  TELEM_CHECK(file.Rewind());
  while (true) {
    TELEM_TRY(const auto record, file.Next());
    if (!record) return file.Rewind();
  }
}

struct Imported {
  size_t taken = 0;
  size_t known = 0;
  size_t expired = 0;
};

// What telemd says of one record: "taken", "known", "expired".
Result<std::string> Hand(ControlClient& client, const ExportItem& record) {
  std::string_view rest = record.spool_file;
  while (true) {
    const std::string_view piece = rest.substr(0, kPiece);
    rest.remove_prefix(piece.size());
    std::string hex;
    AppendHex(hex, reinterpret_cast<const unsigned char*>(piece.data()), piece.size());
    FlatJsonWriter request;
    request.Add("command", "spool-import").Add("name", record.name.ToText()).Add("data", hex);
    if (!rest.empty()) request.Add("more", true);
    TELEM_CHECK(client.Ask(std::move(request)));
    TELEM_TRY(const auto answer, client.NextLine());
    if (rest.empty()) return FieldOf(answer.fields, "result");
  }
}

Status Import(ControlClient& client, ImportFile& file, Imported& imported) {
  while (true) {
    TELEM_TRY(const auto record, file.Next());
    if (!record) return {};
    TELEM_TRY(const std::string result, Hand(client, *record));
    if (result == "taken") ++imported.taken;
    if (result == "known") ++imported.known;
    if (result == "expired") ++imported.expired;
  }
}

std::string Summary(const Imported& imported) {
  std::string text = CountText(imported.taken) + " imported";
  if (imported.known > 0) {
    text += ", " + std::to_string(imported.known) + " known here already";
  }
  return text + "\n";
}

}  // namespace

int RunSpoolExport(const std::string& file, bool remove, const Settings& settings) {
  Output output(Output::Paging::kNever);
  auto client = ControlClient::Connect(settings.control_path);
  if (!client) return ComplainOfTelemd(client.error(), output);
  auto opened = ExportFile::Open(file, remove);
  if (!opened) return ComplainOfTelemd(opened.error(), output);
  const auto exported = Export(*client, *opened);
  if (!exported) return ComplainOfTelemd(exported.error(), output);
  // Not on stdout, which may be the export.
  output.Complain(CountText(exported->ids.size()) + " exported (" +
                  std::to_string((exported->bytes + 1023) / 1024) + " KiB)");
  if (!remove) return output.Finish();
  size_t removed = 0;
  for (const std::string& id : exported->ids) {
    const Status dropped = ActOn(*client, "spool-drop", id, "exported");
    if (dropped) ++removed;
    if (!dropped && dropped.error().code != ErrorCode::kNotFound) {
      output.Complain(CountText(removed) + " removed from the spool");
      return ComplainOfRefusal(dropped.error(), output);
    }
  }
  const size_t gone = exported->ids.size() - removed;
  output.Complain(CountText(removed) + " removed from the spool" +
                  (gone > 0 ? ", " + std::to_string(gone) + " had left it meanwhile" : ""));
  return output.Finish();
}

int RunSpoolImport(const std::string& file, const Settings& settings) {
  Output output(Output::Paging::kNever);
  const std::string name = file == "-" ? "standard input" : "'" + file + "'";
  auto opened = ImportFile::Open(file);
  if (!opened) return ComplainOfTelemd(opened.error(), output);
  if (const Status whole = CheckWhole(*opened); !whole) {
    output.Complain(name + ": " + whole.error().message + "; nothing was imported");
    return 1;
  }
  auto client = ControlClient::Connect(settings.control_path);
  if (!client) return ComplainOfTelemd(client.error(), output);
  Imported imported;
  const Status done = Import(*client, *opened, imported);
  output.Write(Summary(imported));
  if (!done) {
    ComplainOfRefusal(done.error(), output);
    if (imported.taken > 0) {
      output.Complain("what is missing can be imported later from the same file");
    }
    return 1;
  }
  if (imported.expired > 0) {
    output.Complain(CountText(imported.expired) +
                    " not taken: older than record_expiry, so this machine would not send them; "
                    "raise it and import again");
  }
  const int written = output.Finish();
  return imported.expired > 0 ? 1 : written;
}

}  // namespace telem
