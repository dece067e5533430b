// pstoreclean: takes what crashed kernels have left out of pstore, which has little room, before
// anything else wants it. Runs early, as root: nobody else may read pstore.
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/evidence_folder.h"
#include "probes/common/probe_run.h"
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
    return Cleaner(settings.cache_dir + "/pstore", FindFormerBoot(settings.cache_dir));
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

  // Copies what systemd-pstore has moved since this boot.
  Status CopyNew(const std::string& archive) {
    timespec up;
    ::clock_gettime(CLOCK_BOOTTIME, &up);
    const time_t boot = ::time(nullptr) - up.tv_sec;
    TELEM_TRY(const auto paths, PstoreFolder(archive).Find());
    for (const std::string& path : paths) {
      struct stat st;
      if (::lstat(path.c_str(), &st) == 0 && st.st_ctim.tv_sec >= boot) TELEM_CHECK(Copy(path));
    }
    return {};
  }

 private:
  Cleaner(const std::string& kept, const std::string& former_boot)
      : kept_(kept), target_(kept_.FolderOfBoot(former_boot)) {}

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

  PstoreFolder kept_;
  std::string target_;
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
