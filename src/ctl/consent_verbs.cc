#include "ctl/consent_verbs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/files.h"
#include "base/flat_json.h"
#include "config/consent.h"
#include "ctl/collected_files.h"
#include "ctl/control_client.h"
#include "ctl/kept_records.h"
#include "ctl/service_verbs.h"
#include "ctl/system_units.h"

namespace telem {
namespace {

std::string Marker(const Settings& settings, const char* name) {
  return settings.config_dir + "/" + name;
}

bool IsThere(const std::string& marker) {
  return ::faccessat(AT_FDCWD, marker.c_str(), F_OK, AT_EACCESS) == 0;
}

Status Write(const Settings& settings, const char* name) {
  TELEM_CHECK(EnsureFolder(settings.config_dir, 0755));
  return ReplaceFile(Marker(settings, name), "", 0644);
}

Status Remove(const Settings& settings, const char* name) {
  const std::string marker = Marker(settings, name);
  if (::unlink(marker.c_str()) == 0 || errno == ENOENT) return {};
  return SystemError("remove '" + marker + "'", errno);
}

// telemd sees the marker by itself and gives up what it has. Returns whether one is there.
bool LetTelemdFinish(const Settings& settings) {
  // It takes milliseconds; one that hangs is no reason to wait for ever.
  constexpr std::chrono::seconds kPatience{5};
  constexpr std::chrono::milliseconds kPause{20};
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const auto status = AskOnce(settings.control_path, FlatJsonWriter().Add("command", "status"));
    if (!status) return !IsNotRunning(status.error());
    const bool is_done = FieldOf(status->fields, "collecting") == "false" &&
                         FieldOf(status->fields, "waiting") == "0";
    if (is_done || std::chrono::steady_clock::now() > end) return true;
    std::this_thread::sleep_for(kPause);
  }
}

Status OptOut(const Installation& installation) {
  const Settings& settings = installation.settings;
  if (!IsThere(Marker(settings, "opt-out"))) TELEM_CHECK(Write(settings, "opt-out"));
  // A unit that does not stop is no reason to keep what is to be removed.
  const Status stopped = StopServices(installation);
  // Asking would start it again where its socket did not stop, so then it may be there. One that
  // was started by hand stays.
  const bool is_telemd_there = !stopped || LetTelemdFinish(settings);
  TELEM_CHECK(RemoveCollectedFiles(settings, is_telemd_there));
  return stopped;
}

// Whether OptOut() would find nothing to do. The marker alone does not tell: it is what comes
// first, and a person may have made it.
bool IsOptedOut(const Installation& installation) {
  const Settings& settings = installation.settings;
  if (!IsThere(Marker(settings, "opt-out"))) return false;
  if (installation.HasUnits() && IsActive("telemd.socket")) return false;
  return !HasCollectedFiles(settings);
}

// Before anything starts: probes may be faster than telemd, and must not tell of what was before.
// With telemd's rights: root does not follow what that user may have laid into its folder.
Status NoteConsentStart(const Settings& settings) {
  struct stat st;
  if (::stat(settings.state_dir.c_str(), &st) != 0) {
    // telemd makes it, and notes the time when it does.
    if (errno == ENOENT) return {};
    return SystemError("look at '" + settings.state_dir + "'", errno);
  }
  if (::setegid(st.st_gid) != 0 || ::seteuid(st.st_uid) != 0) {
    return SystemError("cannot become the owner of '" + settings.state_dir + "'", errno);
  }
  Status written = WriteConsentSince(
      settings, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  // What began as root can always be root again.
  if (::seteuid(0) != 0 || ::setegid(0) != 0) std::abort();
  return written;
}

Status OptIn(const Installation& installation) {
  const Settings& settings = installation.settings;
  TELEM_CHECK(NoteConsentStart(settings));
  if (settings.consent == ConsentMode::kOptIn) TELEM_CHECK(Write(settings, "opt-in"));
  TELEM_CHECK(Remove(settings, "opt-out"));
  return StartServices(installation);
}

int Finish(const Status& done) {
  if (!done) Tell(done.error().message);
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int RunOptOut(const Installation& installation) {
  if (!IsRoot()) return EXIT_FAILURE;
  if (IsOptedOut(installation)) {
    Tell("Already opted out. Nothing to do.");
    return EXIT_SUCCESS;
  }
  return Finish(OptOut(installation));
}

int RunOptIn(const Installation& installation) {
  if (!IsRoot()) return EXIT_FAILURE;
  if (IsCollectionAllowed(installation.settings)) {
    Tell("Already opted in. Nothing to do.");
    return EXIT_SUCCESS;
  }
  return Finish(OptIn(installation));
}

}  // namespace telem
