#include "ctl/service_verbs.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/files.h"
#include "base/flat_json.h"
#include "base/log.h"
#include "config/consent.h"
#include "ctl/control_client.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "ctl/system_units.h"
#include "ctl/telemetry_user.h"
#include "ctl/terminal_text.h"

namespace telem {
namespace {

// As systemctl's for a unit that is not active.
constexpr int kNotActive = 3;

int Finish(const Status& done) {
  if (!done) Tell(done.error().message);
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

Result<ControlClient::Line> AskStatus(const Settings& settings) {
  return AskOnce(settings.control_path, FlatJsonWriter().Add("command", "status"));
}

// As packaging/tmpfiles.conf has them. That of the markers is the administrator's; the others are
// of the user that telemd becomes, who could not make them where they usually are. (telemd makes
// its own before that, but none for the probes.)
Status MakeFolders(const Settings& settings) {
  TELEM_CHECK(EnsureFolder(settings.config_dir, 0755));
  const auto owner = FindTelemetryUser();
  const auto make = [&](const std::string& path, mode_t mode) {
    return owner ? EnsureFolderOf(path, mode, owner->uid, owner->gid) : EnsureFolder(path, mode);
  };
  TELEM_CHECK(make(settings.spool_dir, 0700));
  TELEM_CHECK(make(settings.state_dir, 0755));
  TELEM_CHECK(make(settings.log_dir, 0755));
  return make(settings.cache_dir, 0755);
}

}  // namespace

void Tell(const std::string& sentence) { Log(LogLevel::kNotice, TerminalLine(sentence)); }

bool IsRoot() {
  if (::geteuid() == 0) return true;
  Tell("Must be root to run this command. Exiting...");
  return false;
}

bool Installation::HasUnits() const { return config_file.empty() && HasSystemd(); }

Status StartServices(const Installation& installation) {
  if (installation.HasUnits()) return StartUnits(installation.settings);
  TELEM_CHECK(MakeFolders(installation.settings));
  std::string command = OwnFolder() + "/telemd";
  if (!installation.config_file.empty()) command += " -f " + installation.config_file;
  Tell("systemd does not run it here. To start telemd by hand: " + command + " &");
  return {};
}

Status StopServices(const Installation& installation) {
  if (installation.HasUnits()) {
    const Status stopped = StopUnits();
    // Asking would start telemd again where its socket did not stop.
    const bool are_there = stopped || stopped.error().code != ErrorCode::kNotFound;
    if (!stopped && (are_there || !AskStatus(installation.settings))) return stopped;
  }
  // Also where systemd runs the machine somebody may have started it by hand.
  const auto status = AskStatus(installation.settings);
  if (!status) return {};
  Tell("systemd does not run this telemd. To stop it: kill " + FieldOf(status->fields, "pid"));
  return {};
}

int RunStart(const Installation& installation) {
  if (!IsRoot()) return EXIT_FAILURE;
  const Settings& settings = installation.settings;
  switch (AskConsent(settings)) {
    case ConsentAnswer::kGiven:
      return Finish(StartServices(installation));
    case ConsentAnswer::kWithheld:
      Tell("Opt out is enabled. Cannot start services.");
      return EXIT_FAILURE;
    case ConsentAnswer::kUnknown:
      Tell("The consent markers in '" + settings.config_dir +
           "' cannot be looked at. Cannot start services.");
      return EXIT_FAILURE;
  }
  return EXIT_FAILURE;
}

int RunStop(const Installation& installation) {
  if (!IsRoot()) return EXIT_FAILURE;
  if (!installation.HasUnits() && !AskStatus(installation.settings)) {
    Tell("telemd does not run. Nothing to stop.");
    return EXIT_SUCCESS;
  }
  return Finish(StopServices(installation));
}

int RunRestart(const Installation& installation) {
  if (!IsRoot()) return EXIT_FAILURE;
  const int stopped = Finish(StopServices(installation));
  return stopped == EXIT_SUCCESS ? RunStart(installation) : stopped;
}

int RunIsActive(const Installation& installation) {
  std::string state = installation.HasUnits() ? StateOfUnit("telemd.socket") : "inactive";
  // It may have been started by hand. Where its socket is active, asking would start it.
  if (state != "active") {
    const auto status = AskStatus(installation.settings);
    // Who may not ask knows as well that it is there.
    if (status || status.error().code == ErrorCode::kDenied) state = "active";
  }
  Output output(Output::Paging::kNever);
  output.Write(TerminalLine(state) + "\n");
  const int written = output.Finish();
  return state == "active" ? written : kNotActive;
}

}  // namespace telem
