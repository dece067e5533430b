// Daemon: telemd as a whole. Owns the parts, wires them together, and says in which order a round
// of the loop ends, which is what the promise of the status byte rests on.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "config/settings.h"
#include "daemon/admission.h"
#include "daemon/consent.h"
#include "daemon/control.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "daemon/intake.h"
#include "store/machine_id.h"
#include "store/retention.h"
#include "store/spool_syncer.h"

namespace telem {

class Daemon {
 public:
  // `config_file` is read again at SIGHUP; empty means the usual search. `deliver_program` is the
  // path of telem-deliver.
  Daemon(const Clock& clock, Settings settings, std::string config_file,
         std::string deliver_program);
  ~Daemon();

  // Makes folders that are missing, opens what lies there, binds the sockets. Signals that Run()
  // handles must be blocked before.
  Status Open();

  // Until SIGTERM or SIGINT.
  Status Run();

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

  Status MakeFolders() const;
  Status OpenStore();
  Status OpenSockets();
  void OnSignal();
  void OnSynced();
  void Reload();
  void KeepPlaces(Settings& fresh) const;
  void FollowConsent();
  void NoteConsentSince();
  void ForgetConsentSince();
  bool EvictForConsent();
  void RenewMachineId();
  void ScanSpool();
  void FlushJournal();
  void TrimJournal();
  void EndRound();
  std::string MakeStatus();

  EventLoop loop_;
  Settings settings_;
  const std::string config_file_;
  const std::string deliver_program_;
  std::string boot_id_;
  WallTime started_{};
  Counters counters_;
  Consent consent_;
  bool had_consent_ = false;
  WallTime consent_seen_{};               // since when it is given
  std::optional<bool> is_consent_noted_;  // whether state_dir/consent_since is there, once known
  WallTime evict_before_{};               // records that were made earlier have no consent
  MachineId machine_id_;
  std::optional<Spool> spool_;
  std::optional<SpoolSyncer> syncer_;
  std::optional<Journal> journal_;
  std::optional<Retention> retention_;
  RateLimiter limiter_;
  std::optional<Delivery> delivery_;
  std::optional<Admission> admission_;
  std::optional<Intake> intake_;
  std::optional<Control> control_;
  Signals signals_;
  Syncs syncs_;
  Timer machine_id_due_;
  Timer scan_due_;
  Timer trim_due_;
  Timer journal_due_;
  Timer evict_due_;
  bool is_journal_troubled_ = false;
};

}  // namespace telem
