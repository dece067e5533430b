// Daemon: telemd as a whole. Owns the parts, wires them together, and says in which order a round
// of the loop ends, which is what the promise of the status byte rests on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/admission.h"
#include "daemon/consent_follower.h"
#include "daemon/control.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "daemon/finisher.h"
#include "daemon/intake.h"
#include "daemon/service.h"
#include "daemon/status_teller.h"
#include "daemon/user.h"
#include "ipc/socket_activation.h"
#include "store/machine_id.h"
#include "store/retention.h"
#include "store/spool_syncer.h"

namespace telem {

class Daemon {
 public:
  // What is around it when it starts.
  struct Surroundings {
    std::string config_file;      // read again at SIGHUP; empty means the usual search
    std::string deliver_program;  // path of telem-deliver
    std::vector<PassedSocket> sockets = {};
    SdNotify notify = {};
  };

  Daemon(const Clock& clock, Settings settings, Surroundings surroundings);
  ~Daemon();

  // Makes folders that are missing, binds the sockets, becomes another user where root started it,
  // and opens what lies in the folders; then it takes records. Signals that Run() handles must be
  // blocked before.
  Status Open();

  // Until SIGTERM, SIGINT, or there is nothing to do any more where systemd starts it again.
  Status Run();

  // One round of at most `wait`, for tests that have a clock of their own.
  Status RunOnce(std::chrono::milliseconds wait) { return loop_.RunOnce(wait); }
  bool is_ending() const { return loop_.is_stopped(); }

 private:
  // Reads signals as the loop's events.
  struct Signals final : EventLoop::Handler {
    explicit Signals(Daemon& owner) : daemon(owner) {}
    void OnEvents(uint32_t) override { daemon.OnSignal(); }
    Daemon& daemon;
    UniqueFd fd;
  };
  struct Syncs final : EventLoop::Handler {
    explicit Syncs(Daemon& owner) : daemon(owner) {}
    void OnEvents(uint32_t) override { daemon.OnSynced(); }
    Daemon& daemon;
  };

  // A socket to listen on, until somebody takes its descriptor.
  struct Listener {
    UniqueFd fd;
    bool is_bound_here = false;  // else it stays when this process ends
  };
  // What the world may want to be told of when it changes.
  struct Seen {
    Counters counters;
    bool has_consent = false;
    std::optional<WallTime> last_error;
    bool operator==(const Seen&) const = default;
  };

  Status MakeFolders(const std::optional<User>& owner) const;
  Status CheckFolders(const std::optional<User>& owner) const;
  Status BindSockets();
  Status Bind(Listener& listener, const std::string& path);
  Status ChangeUser(const std::optional<User>& user) const;
  Status OpenStore();
  Status Serve();
  void OnSignal();
  void OnSynced();
  void AnswerThoseWhoWait();
  void Reload();
  void Apply(LoadedSettings loaded);
  void KeepPlaces(Settings& fresh) const;
  void FollowClock();
  void LoadMachineId();
  void RenewMachineId();
  void ScanSpool();
  void FlushJournal();
  void TrimJournal();
  void EndRound();
  Seen Look() const;
  void NoteChanges();
  void RecycleIfDue();
  void RestoreState();
  void SaveState();

  EventLoop loop_;
  Settings settings_;
  Surroundings surroundings_;
  std::string boot_id_;
  WallTime started_{};
  MonotonicTime started_monotonic_{};
  WallTime counting_since_{};
  Listener frames_;
  Listener control_socket_;
  bool is_activated_ = false;  // systemd starts it again when a record comes
  bool may_recycle_ = false;
  Counters counters_;
  ConsentWatch consent_;
  std::chrono::nanoseconds clock_offset_{};  // of the time of day to the monotonic clock
  MachineId machine_id_;
  std::optional<Spool> spool_;
  UniqueFd log_folder_;
  std::optional<SpoolSyncer> syncer_;
  std::optional<Journal> journal_;
  std::optional<Retention> retention_;
  RateLimiter limiter_;
  std::optional<Finisher> finisher_;
  std::optional<Delivery> delivery_;
  std::optional<Admission> admission_;
  std::optional<ConsentFollower> consent_follower_;
  std::optional<StatusTeller> status_teller_;
  std::optional<Intake> intake_;
  std::optional<Control> control_;
  Signals signals_;
  Syncs syncs_;
  Timer machine_id_due_;
  Timer scan_due_;
  Timer trim_due_;
  Timer journal_due_;
  Seen seen_;
  Service service_;
  Throttle save_due_;
  bool is_journal_troubled_ = false;
  bool is_state_troubled_ = false;
};

}  // namespace telem
