#include "ctl/status_verb.h"

#include <dirent.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"
#include "config/consent.h"
#include "ctl/control_client.h"
#include "ctl/output.h"
#include "ctl/status_text.h"

namespace telem {
namespace {

// That of `systemctl status` for what is not active, and of LSB init scripts for "not running".
constexpr int kNotRunning = 3;

// How many records wait, as far as the folder may be looked at.
std::optional<size_t> CountWaiting(const std::string& folder) {
  DIR* const dir = ::opendir(folder.c_str());
  if (dir == nullptr) return std::nullopt;
  size_t count = 0;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(dir);
  return count;
}

// What can be said of a machine on which telemd does not run.
int TellStopped(bool json, const Error& why, const Settings& settings, Output& output) {
  const auto waiting = CountWaiting(settings.spool_dir);
  if (json) {
    FlatJsonWriter status;
    status.Add("running", false)
        .Add("collecting", false)
        .Add("consent", settings.consent == ConsentMode::kOptIn ? "opt-in" : "opt-out")
        .Add("opted_in", IsCollectionAllowed(settings))
        .Add("server", settings.server)
        .Add("server_protocol", settings.server_protocol);
    if (waiting) {
      status.Add("waiting", static_cast<int64_t>(*waiting));
    } else {
      status.AddNull("waiting");
    }
    output.Write(JsonLine(status.Finish()));
  } else {
    output.Write(StoppedText({.why = why.message,
                              .is_consent_given = IsCollectionAllowed(settings),
                              .server = settings.server,
                              .server_protocol = settings.server_protocol,
                              .spool_dir = settings.spool_dir,
                              .waiting = waiting},
                             output.has_colors()));
  }
  const int written = output.Finish();
  return written == 0 ? kNotRunning : written;
}

}  // namespace

int RunStatus(const StatusOptions& options, const Settings& settings) {
  Output output(Output::Paging::kNever);
  const auto status = AskOnce(settings.control_path, FlatJsonWriter().Add("command", "status"));
  if (!status) {
    if (!IsNotRunning(status.error())) return ComplainOfTelemd(status.error(), output);
    return TellStopped(options.json, status.error(), settings, output);
  }
  output.Write(options.json ? JsonLine(status->text)
                            : StatusText(status->fields,
                                         static_cast<uint64_t>(EpochSeconds(SystemClock().Now())),
                                         output.has_colors()));
  return output.Finish();
}

}  // namespace telem
