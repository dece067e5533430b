// ConsentFollower: what telemd does when consent comes, and when it goes.
//
// The life of consent: when it comes, records are taken, but what came to the spool before it is
// not sent. Once all that lies in the spool is known, the start of consent is written down in
// state_dir/consent_since, where probes read it; it moves with the clock when that is set. When
// consent goes, nothing leaves from that moment on. What waits to leave goes as well, some in each
// round, and so do the start, rejected records and what is remembered of records; so that nothing
// made before the user opts in is ever sent after it. Markers that cannot be looked at let nothing
// leave, and are no reason to remove anything.
//
// Whether consent is given is ConsentWatch's to say.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/event_loop.h"
#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "store/spool.h"

namespace telem {

class ConsentFollower {
 public:
  // What it works with; all of it outlives this.
  struct Parts {
    EventLoop& loop;
    const Settings& settings;
    ConsentWatch& consent;
    Spool& spool;
    Delivery& delivery;
    const Counters& counters;
    // Who has opted out has no machine id, so one is needed when consent comes.
    std::function<void()> load_machine_id;
  };

  // Before the spool is looked through. Consent that is given now was seen first when this process
  // `started`.
  ConsentFollower(Parts parts, WallTime started);

  // At the end of each round, before anything is handed over: what has to follow where consent has
  // come or gone.
  void Follow();

  // Gives up some of what waits without consent, so that senders get their turn. Returns whether
  // there is more; nothing may be handed over before.
  bool EvictSome();

  // Files may be found in the spool after consent has ended, and be rejected: they go as the others
  // did.
  void ClearLaterRejected();

  // The clock was set by `step`: what this process wrote down by the clock before is put right.
  void MoveStart(std::chrono::seconds step);

  // As the last Follow() saw it.
  bool has_consent() const { return has_consent_; }
  // Since when this process has seen it given, where it is.
  WallTime seen_since() const { return seen_since_; }
  // Whether a file of the spool came before consent was given. False where its time says nothing.
  bool CameBefore(WallTime came) const { return came >= Spool::kFirstRecord && came < start_; }

 private:
  WallTime FindStart() const;
  void NoteStart();
  void WriteStart(std::chrono::sys_seconds start);
  void End();

  Parts parts_;
  bool has_consent_;
  WallTime seen_since_;
  WallTime start_;                // what came to the spool earlier has no consent
  std::optional<bool> is_noted_;  // whether state_dir/consent_since is there, once known
  // As it stands in state_dir/consent_since, where this process wrote it.
  std::optional<std::chrono::sys_seconds> noted_;
  uint64_t rejected_when_ended_ = 0;  // Counters::rejected when consent ended
  bool is_evicting_ = false;          // what waits has no consent
  Timer evict_due_;
};

}  // namespace telem
