// ControlRights: who may look at telemd by its control socket, and who may change what it keeps.
// Looked up once, in the files of the system: a name service that does not answer would keep the
// loop from its senders, and its modules would stay in memory.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace telem {

struct ControlRights {
  // Who may do all that root may: the user whom telemd runs as, where a person started it. Not the
  // user telemetry: probes run as that one, too, and read what strangers made.
  std::optional<uid_t> owner;
  // Whose members may look: adm and telemetry.
  std::vector<gid_t> readers;
};

// For this process, by `passwd` and `group` in the folder `etc`; one that is not there names
// nobody.
Result<ControlRights> FindControlRights(const std::string& etc = "/etc");

}  // namespace telem
