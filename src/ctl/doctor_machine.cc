#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/text.h"
#include "config/crash_source.h"
#include "ctl/child_output.h"
#include "ctl/doctor_check.h"
#include "ctl/kept_records.h"
#include "ctl/system_units.h"
#include "ctl/telemetry_user.h"
#include "ctl/time_text.h"
#include "ipc/unix_socket.h"
#include "record/spool_file.h"

namespace telem {
namespace {

// Less than this is full for whoever has to write files.
constexpr uint64_t kLittleRoom = 1024 * 1024;

// A clock that differs by less is none to complain of.
constexpr uint64_t kClockSlack = 24 * 3600;

// Of crashprobe.socket.
constexpr const char* kCrashSocket = "/run/telemetry/core";

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string RealPath(const std::string& path) {
  char real[PATH_MAX];
  return ::realpath(path.c_str(), real) == nullptr ? std::string() : real;
}

std::string Joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

std::string MistakesIn(const std::vector<std::string>& mistakes) { return Joined(mistakes, "; "); }

// Whether `user` could make `path`: it is root, or the nearest folder above that is there is its.
bool IsOwnerOfParent(uid_t user, std::string path) {
  struct stat st;
  do {
    path.resize(std::max<size_t>(path.find_last_of('/'), 1));
  } while (::stat(path.c_str(), &st) != 0 && path != "/");
  return user == 0 || st.st_uid == user;
}

// The first folder that telemd could not work in, and why. Root may do anything
// anywhere, but write to what is read-only.
std::optional<Finding> FindWrongFolder(const Patient& patient, uid_t telemd) {
  const Settings& settings = patient.settings();
  for (const std::string& folder : {settings.spool_dir, settings.state_dir, settings.log_dir}) {
    struct stat st;
    if (::stat(folder.c_str(), &st) != 0) {
      if (errno != ENOENT) continue;  // not for us to look at
      // Root's telemd makes it before it becomes another user; systemd's never was root.
      if (HasSystemd() && !IsOwnerOfParent(telemd, folder)) {
        return Ill("'" + folder + "' is gone, and " + NameOfUser(telemd) + " may not make it",
                   "systemd-tmpfiles --create makes the usual ones; then start telemd again");
      }
      if (!patient.status) continue;  // telemd will make it when it starts
      return Ill("'" + folder + "' is gone while telemd runs", "start telemd again, it makes it");
    }
    if (!S_ISDIR(st.st_mode)) return Ill("'" + folder + "' is no folder", "move it away");
    struct statvfs disk;
    if (::statvfs(folder.c_str(), &disk) == 0 && (disk.f_flag & ST_RDONLY) != 0) {
      return Ill("the file system of '" + folder + "' is read-only",
                 "where the kernel made it so, journalctl -k says why; else mount it writable");
    }
    if (telemd != 0 && st.st_uid != telemd) {
      return Ill("'" + folder + "' belongs to " + NameOfUser(st.st_uid) + ", telemd runs as " +
                     NameOfUser(telemd),
                 "chown -R " + NameOfUser(telemd) + " " + folder);
    }
    constexpr mode_t kOwnersAll = S_IRUSR | S_IWUSR | S_IXUSR;
    if (telemd != 0 && (st.st_mode & kOwnersAll) != kOwnersAll) {
      return Ill("telemd may not write to '" + folder + "'", "chmod u+rwx " + folder);
    }
  }
  return std::nullopt;
}

// Where programs would find `name`: LD_LIBRARY_PATH, then the loader's cache (ld.so(8)).
std::string FindLibrary(const std::string& name) {
  const char* const given = std::getenv("LD_LIBRARY_PATH");
  std::string_view folders = given == nullptr ? "" : given;
  while (!folders.empty()) {
    std::string path(TakeUntil(folders, ':'));
    path += '/';
    path += name;
    if (Exists(path)) return path;
  }
  for (const char* const ldconfig : {"/sbin/ldconfig", "/usr/sbin/ldconfig"}) {
    if (!Exists(ldconfig)) continue;
    const auto cache = OutputOf({ldconfig, "-p"}, 4 * 1024 * 1024);
    std::string_view rest = cache ? *cache : std::string_view();
    while (!rest.empty()) {
      const std::string_view line = TakeUntil(rest, '\n');
      const size_t arrow = line.find(" => ");
      if (arrow == std::string_view::npos || !Trim(line).starts_with(name + " ")) continue;
      return std::string(line.substr(arrow + 4));
    }
    break;
  }
  return "";
}

// The libraries that belong to this telemctl, wherever it was installed: a machine may have those
// of several architectures.
std::vector<std::string> OwnLibraries() {
  glob_t found{};
  const std::string pattern = OwnFolder() + "/../{lib,lib64,lib/*}/libtelemetry.so.4";
  ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
  std::vector<std::string> libraries;
  libraries.reserve(found.gl_pathc);
  for (size_t i = 0; i < found.gl_pathc; ++i) libraries.push_back(RealPath(found.gl_pathv[i]));
  ::globfree(&found);
  return libraries;
}

// Whether somebody wants crashes to be reported: at every boot, or as `telemctl start` does, until
// the next one.
bool AreCrashesWanted() {
  if (!HasSystemd()) return false;
  const std::array<const char*, 2> units = {kCrashSetupUnit, kCrashWatchUnit};
  return std::any_of(units.begin(), units.end(),
                     [](const char* unit) { return IsEnabled(unit) || IsActive(unit); });
}

// Whether somebody has put settings beside the administrator's file, be it there or not.
bool HasAdminDropIns() {
  glob_t found{};
  const std::string pattern = std::string(kAdminConfigFile) + ".d/*.conf";
  const bool has_any = ::glob(pattern.c_str(), 0, nullptr, &found) == 0;
  ::globfree(&found);
  return has_any;
}

// Where systemd-coredump has the crashes, or should have them.
Finding CheckCoredumpWatch(std::string_view pattern, const std::string& shown) {
  if (!IsSystemdCoredump(pattern)) {
    return Ill("crash_forward = systemd-coredump, and crashes go to another program: " + shown,
               "is systemd-coredump installed? systemctl restart systemd-sysctl.service gives it "
               "back what it had; else set another crash_forward");
  }
  if (!IsActive(kCrashWatchUnit)) {
    return Ill("systemd-coredump takes the crashes, and " + std::string(kCrashWatchUnit) +
                   " does not run, which reports them: " + shown,
               "systemctl enable --now " + std::string(kCrashWatchUnit));
  }
  return Well("crashes come by systemd-coredump; " + shown);
}

}  // namespace

std::string NameOfUser(uid_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? "uid " + std::to_string(uid) : found->pw_name;
}

uid_t UidOfTelemd(const Patient& patient) {
  struct stat st;
  if (patient.status && ::stat(("/proc/" + FieldOf(*patient.status, "pid")).c_str(), &st) == 0) {
    return st.st_uid;
  }
  if (::geteuid() != 0) return ::geteuid();
  return FindTelemetryUser().value_or(TelemetryUser()).uid;
}

Finding CheckConfiguration(const Patient& patient) {
  const LoadedSettings& loaded = patient.loaded;
  if (!loaded.errors.empty()) {
    return Ill(MistakesIn(loaded.errors),
               "correct it; telemd does not start with it, and at SIGHUP keeps the old settings");
  }
  if (!loaded.warnings.empty()) {
    return Ill(MistakesIn(loaded.warnings), "correct it, see telemetrics.conf(5)");
  }
  const bool is_admins = !loaded.files.empty() && loaded.files.front() != kDefaultConfigFile;
  if (!is_admins && HasAdminDropIns()) {
    return Ill("'" + std::string(kAdminConfigFile) + ".d' is not read, for there is no '" +
                   kAdminConfigFile + "'",
               "make that file; it may be empty");
  }
  if (loaded.files.empty()) return Well("there is no file, every setting has its default");
  return Well(MistakesIn(loaded.files));
}

Finding CheckConsent(const Patient& patient) {
  if (patient.is_consent_given) return Well("given");
  const std::string& folder = patient.settings().config_dir;
  if (Exists(folder + "/opt-out")) {
    return Ill("opted out: nothing is collected or sent",
               "if that is not what you want, remove '" + folder + "/opt-out'");
  }
  return Ill("nobody has opted in (consent = opt-in): nothing is collected or sent",
             "if you consent, make the file '" + folder + "/opt-in'");
}

Finding CheckUnits(const Patient& patient) {
  if (!HasSystemd()) return Well("systemd does not run this machine");
  const auto troubles = FindUnitTroubles();
  if (!troubles) return Skipped("systemctl cannot be asked: " + troubles.error().message);
  const auto& [failed, restarting, inactive] = *troubles;
  if (!failed.empty()) {
    return Ill("failed: " + Joined(failed, ", "),
               "systemctl status " + failed.front() +
                   " says why; then systemctl reset-failed, and start it");
  }
  if (!restarting.empty()) {
    return Ill("end in failure again and again: " + Joined(restarting, ", "),
               "systemctl status " + restarting.front() + " says why");
  }
  // Without consent none of them starts.
  if (patient.is_consent_given && !inactive.empty()) {
    return Ill("enabled, and not running: " + Joined(inactive, ", "),
               "systemctl start " + inactive.front() + ", or disable it");
  }
  return Well("none has failed");
}

Finding CheckTelemd(const Patient& patient) {
  if (!patient.status) {
    if (IsNotRunning(patient.silence)) {
      return Ill(patient.silence.message,
                 HasSystemd() ? "systemctl start telemd.socket"
                              : "start 'telemd', as root or with a configuration of your own");
    }
    return Ill(
        patient.silence.message,
        ::geteuid() == 0 && HasSystemd()
            ? "systemctl status telemd.service says why"
            : "where it is a matter of rights: ask as root, or as a member of the group adm");
  }
  const std::string& path = patient.settings().socket_path;
  const auto frames = ConnectTo(path, std::chrono::seconds(2));
  if (!frames) {
    return Ill("telemd runs, and nobody takes records at '" + path +
                   "': " + std::strerror(frames.error().err),
               "start telemd again; is socket_path the one that it was started with?");
  }
  return Well("runs, version " + FieldOf(*patient.status, "version") + ", pid " +
              FieldOf(*patient.status, "pid"));
}

Finding CheckRights(const Patient& patient) {
  if (!patient.status && !IsNotRunning(patient.silence) && ::geteuid() != 0) {
    return Skipped("who telemd runs as is not known");
  }
  if (!patient.status && ::geteuid() == 0 && HasSystemd() && !FindTelemetryUser()) {
    return Ill("there is no user telemetry, as whom systemd runs telemd",
               "telemctl start makes it, and starts everything");
  }
  const uid_t telemd = UidOfTelemd(patient);
  if (auto wrong = FindWrongFolder(patient, telemd)) return std::move(*wrong);
  return Well("telemd " + std::string(patient.status ? "runs" : "would run") + " as " +
              NameOfUser(telemd) + ", and may write to its folders");
}

Finding CheckDisk(const Patient& patient) {
  const Settings& settings = patient.settings();
  for (const std::string& folder : {settings.spool_dir, settings.state_dir, settings.log_dir}) {
    struct statvfs fs;
    if (::statvfs(folder.c_str(), &fs) != 0) continue;  // said by the rights
    const uint64_t free = uint64_t{fs.f_bavail} * fs.f_frsize;
    if (free < kLittleRoom) {
      return Ill(
          "the disk of '" + folder + "' is full: " + std::to_string(free / 1024) + " KiB are free",
          "make room there; records are refused until then, and their senders know");
    }
    if (fs.f_files > 0 && fs.f_favail < 16) {
      return Ill("the disk of '" + folder + "' can hold no more files (no inodes)",
                 "remove some; records are refused until then, and their senders know");
    }
  }
  return Well("has room");
}

Finding CheckClock(const Patient& patient) {
  struct stat st;
  if (::stat("/proc/self/exe", &st) == 0 &&
      patient.now + kClockSlack < static_cast<uint64_t>(st.st_mtim.tv_sec)) {
    return Ill("the clock says " + LocalTimeText(patient.now) + ", before this program was made",
               "set it, for instance: timedatectl set-ntp true");
  }
  uint64_t newest = 0;
  for (const ControlClient::Line& record : patient.waiting) {
    newest = std::max(newest, ParseUnsigned(FieldOf(record.fields, "time")).value_or(0));
  }
  if (newest > patient.now + kClockSlack) {
    return Ill("a record waits that was taken over at " + LocalTimeText(newest) +
                   ", which is still to come: the clock was wrong then, or is now",
               "set it, for instance: timedatectl set-ntp true");
  }
  return Well(LocalTimeText(patient.now));
}

Finding CheckLibrary(const Patient& /*patient*/) {
  const std::vector<std::string> own = OwnLibraries();
  std::string found_ours;
  for (const char* const name : {"libtelemetry.so.4", "libtelemetry.so.3"}) {
    const std::string found = FindLibrary(name);
    if (found.empty()) continue;
    if (std::find(own.begin(), own.end(), RealPath(found)) == own.end()) {
      return Ill("programs get '" + found + "', which is not of this installation" +
                     (own.empty() ? "" : " ('" + own.front() + "')"),
                 "a library of telemetrics-client 1.x or 2.x believes records safe that are not: "
                 "remove it, then run ldconfig");
    }
    found_ours = found;
  }
  if (found_ours.empty()) return Well("the loader finds none, programs of ours bring their own");
  return Well(found_ours);
}

Finding CheckCorePattern(const Patient& patient) {
  const auto text = ReadFile(kCorePatternFile, 4096);
  if (!text) return Skipped(text.error().message);
  std::string_view pattern = Trim(*text);
  const std::string shown = "core_pattern is '" + PrintableAscii(pattern, 120) + "'";
  const bool is_ours = pattern.contains("crashprobe");
  if (is_ours && pattern.starts_with('|')) {
    std::string_view rest = pattern.substr(1);
    const std::string program(TakeUntil(rest, ' '));
    if (::access(program.c_str(), X_OK) == 0) return Well(shown);
    return Ill(shown + ", and there is no such program: crashes are lost",
               "systemctl restart crashprobe-setup.service, or put back what was there: "
               "sysctl kernel.core_pattern=core");
  }
  if (is_ours) return Well(shown);
  std::string_view socket = pattern;
  while (socket.starts_with('@')) socket.remove_prefix(1);
  if (socket.size() < pattern.size() && socket == kCrashSocket) {
    if (Exists(kCrashSocket)) return Well(shown);
    return Ill(shown + ", and nobody listens there: crashes are lost",
               "systemctl restart crashprobe.socket crashprobe-setup.service");
  }
  if (!AreCrashesWanted()) return Well("crashprobe is not set up; " + shown);
  if (IsSystemdCoredumpWanted(patient.settings(), pattern)) {
    return CheckCoredumpWatch(pattern, shown);
  }
  return Ill("crashes go to another program: " + shown,
             IsSystemdCoredump(pattern)
                 ? "crash_forward = systemd-coredump, or systemctl restart "
                   "crashprobe-setup.service"
                 : "find out who sets it (sysctl.d?), then systemctl restart "
                   "crashprobe-setup.service");
}

}  // namespace telem
