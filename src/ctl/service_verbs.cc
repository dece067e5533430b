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
  // telemd makes its own folders; that of the markers is the administrator's.
  TELEM_CHECK(EnsureFolder(installation.settings.config_dir, 0755));
  std::string command = OwnFolder() + "/telemd";
  if (!installation.config_file.empty()) command += " -f " + installation.config_file;
  Tell("systemd does not run it here. To start telemd by hand: " + command + " &");
  return {};
}

Status StopServices(const Installation& installation) {
  if (installation.HasUnits()) return StopUnits();
  const auto status = AskStatus(installation.settings);
  if (!status) return {};
  Tell("systemd does not run it here. To stop telemd: kill " + FieldOf(status->fields, "pid"));
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
  return Finish(StopServices(installation));
}

int RunRestart(const Installation& installation) {
  const int stopped = RunStop(installation);
  return stopped == EXIT_SUCCESS ? RunStart(installation) : stopped;
}

int RunIsActive(const Installation& installation) {
  std::string state;
  if (installation.HasUnits()) {
    state = StateOfUnit("telemd.socket");
  } else {
    state = AskStatus(installation.settings) ? "active" : "inactive";
  }
  Output output(Output::Paging::kNever);
  output.Write(TerminalLine(state) + "\n");
  const int written = output.Finish();
  return state == "active" ? written : kNotActive;
}

}  // namespace telem
