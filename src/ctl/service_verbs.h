// `telemctl start|stop|restart|is-active`: everything of ours that systemd runs.
#pragma once

#include <string>

#include "base/result.h"
#include "config/settings.h"

namespace telem {

// The installation that a changing verb is about.
struct Installation {
  const Settings& settings;
  // Of --config-file. Then its telemd is somebody's own, and systemd's units have nothing to do
  // with it.
  std::string config_file;

  // Whether systemd runs it.
  bool HasUnits() const;
};

// All complain on stderr and return the exit code. Where systemd does not run the installation they
// do what they can, and say how to go on by hand.
int RunStart(const Installation& installation);
int RunStop(const Installation& installation);
int RunRestart(const Installation& installation);
// Prints the state of telemd.socket, or that a telemd which systemd does not run is active; 0 only
// when it is active.
int RunIsActive(const Installation& installation);

// Whether root runs this; complains in the words of 1.x where not.
bool IsRoot();

// The same as RunStart() and RunStop() for other verbs that come to them.
Status StartServices(const Installation& installation);
Status StopServices(const Installation& installation);

// One line on stderr.
void Tell(const std::string& sentence);

}  // namespace telem
