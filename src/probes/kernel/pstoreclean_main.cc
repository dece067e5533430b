// pstoreclean: takes what crashed kernels have left out of pstore, which has little room, before
// anything else wants it. Runs early, as root: nobody else may read pstore.
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/evidence_folder.h"
#include "probes/common/probe_run.h"
#include "probes/kernel/boot_start.h"
#include "probes/kernel/kmsg_position.h"
#include "probes/kernel/pstore_folder.h"

namespace telem {
namespace {

constexpr char kProgram[] = "pstoreclean";

constexpr char kAbout[] =
    "Usage: pstoreclean [OPTION]...\n"
    "Move what crashed kernels have left in pstore to where pstoreprobe finds it.\n"
    "\n";

enum : int { kDir = 256, kArchive };

constexpr OptionRow kOptions[] = {
    {"dir", kDir, "FOLDER", "pstore (default: /sys/fs/pstore)"},
    {"archive", kArchive, "FOLDER",
     "where systemd-pstore moves the files, which stay there (default:\n"
     "/var/lib/systemd/pstore)"},
};

struct Folders {
  std::string pstore = "/sys/fs/pstore";
  std::string archive = "/var/lib/systemd/pstore";
};

// While it lives, files are made with the rights of the user telemetry, where there is one: root
// does not follow what that user may have laid into its folders.
class AsTelemetry {
 public:
  static Result<AsTelemetry> Begin() {
    const passwd* user = ::geteuid() == 0 ? ::getpwnam("telemetry") : nullptr;
    AsTelemetry as(user != nullptr);
    if (user != nullptr && (::setegid(user->pw_gid) != 0 || ::seteuid(user->pw_uid) != 0)) {
      return SystemError("cannot become the user telemetry", errno);
    }
    return as;
  }
  AsTelemetry(AsTelemetry&& other) noexcept : changed_(std::exchange(other.changed_, false)) {}
  AsTelemetry& operator=(AsTelemetry&&) = delete;
  ~AsTelemetry() {
    // What began as root can always be root again.
    if (changed_ && (::seteuid(0) != 0 || ::setegid(0) != 0)) std::abort();
  }

 private:
  explicit AsTelemetry(bool changed) : changed_(changed) {}
  bool changed_;
};

// A place for `name` in `folder` where no other file of that name is lost: names come back with
// every boot.
Result<std::string> FindPlace(const std::string& folder, const std::string& name,
                              const std::string& bytes) {
  constexpr int kAttempts = 100;
  for (int i = 1; i <= kAttempts; ++i) {
    std::string path = folder;
    if (i > 1) {
      path += '/';
      AppendUnsigned(path, static_cast<uint64_t>(i));
    }
    TELEM_CHECK(EnsureFolder(path, 0700));
    path += '/';
    path += name;
    const auto there = ReadEvidence(path, PstoreFolder::kMaxFile);
    if (!there && there.error().code == ErrorCode::kNotFound) return path;
    if (there && there->bytes == bytes) return path;
  }
  return Fail(ErrorCode::kNoSpace, "'" + folder + "' has too many files called '" + name + "'");
}

class Cleaner {
 public:
  static Result<Cleaner> Open(const Settings& settings) {
    // klogscanner's note is telemetry's, and root may have no right to what is not its own.
    TELEM_TRY(const AsTelemetry as, AsTelemetry::Begin());
    Cleaner cleaner(settings.cache_dir, FindFormerBoot(settings.cache_dir));
    const auto text = ReadFile(cleaner.seen_path_, kMaxSeen);
    if (text) {
      cleaner.seen_.emplace();
      for (std::string_view rest = *text; !rest.empty();) {
        cleaner.seen_->emplace(TakeUntil(rest, '\n'));
      }
    } else if (text.error().code != ErrorCode::kNotFound &&
               text.error().code != ErrorCode::kTooLarge) {
      return std::unexpected(text.error());
    }
    return cleaner;
  }

  // Moves what is in pstore.
  Status Move(const std::string& pstore) {
    TELEM_TRY(const auto paths, PstoreFolder(pstore).Find());
    for (const std::string& path : paths) {
      TELEM_CHECK(Copy(path));
      TELEM_CHECK(RemoveEvidence(path));
    }
    return {};
  }

  // Copies what systemd-pstore has moved since this ran last; where that is not known, since this
  // boot. Not by the time alone: on a machine without a clock it is set behind systemd-pstore.
  Status CopyNew(const std::string& archive) {
    TELEM_TRY(const auto paths, PstoreFolder(archive).Find());
    std::set<std::string> seen;
    std::vector<std::pair<std::string, std::string>> fresh;
    if (seen_) {
      for (const std::string& name : *seen_) {
        if (!PathIn(name).starts_with(archive + '/')) seen.insert(name);
      }
    }
    const time_t boot_start = FindBootStart().time_since_epoch().count();
    for (const std::string& path : paths) {
      struct stat st;
      if (::lstat(path.c_str(), &st) != 0) continue;  // gone meanwhile
      // A path may come back: ramoops has few numbers.
      std::string name = std::to_string(st.st_mtim.tv_sec) + ' ' + path;
      const bool is_seen = seen_ ? seen_->contains(name) : st.st_ctim.tv_sec < boot_start;
      if (is_seen) {
        seen.insert(std::move(name));
      } else {
        fresh.emplace_back(path, std::move(name));
      }
    }
    // Before one is copied: what cannot be is new the next time, too.
    if (seen_ != seen) TELEM_CHECK(Remember(seen));
    for (auto& [path, name] : fresh) {
      TELEM_CHECK(Copy(path));
      seen.insert(std::move(name));
      // At once: what is copied again in another boot would be told again.
      TELEM_CHECK(Remember(seen));
    }
    return {};
  }

 private:
  Cleaner(const std::string& cache_dir, const std::string& former_boot)
      : kept_(cache_dir + "/pstore"),
        target_(kept_.FolderOfBoot(former_boot)),
        seen_path_(cache_dir + "/pstore-archive") {}

  // Of a line of seen_.
  static std::string_view PathIn(std::string_view name) {
    TakeUntil(name, ' ');
    return name;
  }

  Status Remember(const std::set<std::string>& seen) {
    std::string text;
    for (const std::string& name : seen) text += name + '\n';
    TELEM_TRY(const AsTelemetry as, AsTelemetry::Begin());
    TELEM_CHECK(ReplaceFile(seen_path_, text, 0600));
    seen_ = seen;
    return {};
  }

  // Survives a power cut when the call returns.
  Status Copy(const std::string& path) {
    TELEM_TRY(const Evidence evidence, ReadEvidence(path, PstoreFolder::kMaxFile));
    TELEM_TRY(const AsTelemetry as, AsTelemetry::Begin());
    TELEM_TRY(const auto kept, kept_.Find());
    if (kept.size() >= PstoreFolder::kMaxFiles) {
      return Fail(ErrorCode::kNoSpace, "as many files as there may be wait for pstoreprobe");
    }
    const std::string name = path.substr(path.rfind('/') + 1);
    TELEM_TRY(const std::string place, FindPlace(target_, name, evidence.bytes));
    TELEM_CHECK(ReplaceFile(place, evidence.bytes, 0600));
    // When the crash was is known from the file's time alone.
    const timespec when{.tv_sec = evidence.modified.time_since_epoch().count(), .tv_nsec = 0};
    const timespec times[2] = {when, when};
    if (::utimensat(AT_FDCWD, place.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return SystemError("set the time of '" + place + "'", errno);
    }
    return {};
  }

  static constexpr size_t kMaxSeen = size_t{1} << 20;  // what is larger, nobody has written

  PstoreFolder kept_;
  std::string target_;
  std::string seen_path_;
  // What was in the archive: time and path of each file.
  std::optional<std::set<std::string>> seen_;
};

Status Clean(const Folders& folders, const Settings& settings) {
  TELEM_TRY(Cleaner cleaner, Cleaner::Open(settings));
  TELEM_CHECK(cleaner.Move(folders.pstore));
  return cleaner.CopyNew(folders.archive);
}

int Main(int argc, char** argv) {
  Folders folders;
  return RunProbe(
      {.program = kProgram,
       .about = kAbout,
       .options = kOptions,
       .shared_options = kOptionsWithoutRecords,
       .take_option =
           [&](int letter, const char* value) {
             (letter == kDir ? folders.pstore : folders.archive) = value;
             return Status();
           },
       .run = [&](const RecordOutlet& outlet) { return Clean(folders, outlet.settings()); }},
      argc, argv);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
