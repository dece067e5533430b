// StatusTeller: what telemd says of itself: everything to telemctl, and one sentence to systemd.
#pragma once

#include <string>

#include "base/event_loop.h"
#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/consent_follower.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "store/machine_id.h"
#include "store/spool.h"

namespace telem {

class StatusTeller {
 public:
  // What it tells of; all of it outlives this.
  struct Parts {
    const Clock& clock;
    const Settings& settings;
    const MachineId& machine_id;
    const Spool& spool;
    ConsentWatch& consent;
    const ConsentFollower& consent_follower;
    const Delivery& delivery;
    const Counters& counters;
    WallTime started;
    WallTime counting_since;
  };

  explicit StatusTeller(const Parts& parts) : parts_(parts) {}

  // One JSON object, without a newline (docs/formats.md).
  std::string MakeStatus() const;

  // For `systemctl status`: everybody may read it.
  std::string MakeSentence() const;

 private:
  size_t CountWaiting() const;

  Parts parts_;
};

}  // namespace telem
