#include "daemon/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/saved_state.h"
#include "daemon/spool_desk.h"

namespace telem {
namespace {

constexpr std::chrono::hours kMachineIdCheck{1};

// So long it runs at least where it is started again when there is work (daemon_recycling_enabled).
constexpr std::chrono::hours kRecycleAfter{2};

// A kill loses at most so much of the counters.
constexpr std::chrono::seconds kSaveInterval{60};

constexpr size_t kMaxStateFile = size_t{256} * 1024;

// So many files are looked at before senders get their turn again.
constexpr size_t kScanStep = 200;
constexpr std::chrono::seconds kScanPause{10};  // after a disk did not list them

// Less is the work of a time server, which takes small steps, and of rounding.
constexpr std::chrono::seconds kClockStep{2};

// Long enough to have many lines in one go, short enough that people see what is kept.
constexpr std::chrono::seconds kTrimDelay{1};

// How long a journal that could not be written is left alone when nothing else happens.
constexpr std::chrono::seconds kJournalPause{10};

// Descriptors that are no sender's: folders, files, sockets, telem-deliver.
constexpr size_t kOwnDescriptors = 32;

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return Intake::kMaxConnections;
  const rlim_t wanted = Intake::kMaxConnections + kOwnDescriptors;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur > 2 * kOwnDescriptors ? limit.rlim_cur - kOwnDescriptors : kOwnDescriptors;
}

std::string ReadBootId() {
  const auto text = ReadFile("/proc/sys/kernel/random/boot_id", 64);
  return text ? std::string(Trim(*text)) : "00000000-0000-0000-0000-000000000000";
}

std::chrono::nanoseconds ClockOffset(const Clock& clock) {
  return clock.Now().time_since_epoch() - clock.Monotonic().time_since_epoch();
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

RateLimiter::Limits LimitsOf(const Settings& settings) {
  if (!settings.rate_limit_enabled) return {};
  return {.records = settings.record_burst_limit,
          .bytes = settings.byte_burst_limit,
          .record_window = std::chrono::minutes(settings.record_window_length),
          .byte_window = std::chrono::minutes(settings.byte_window_length)};
}

}  // namespace

Daemon::Daemon(const Clock& clock, Settings settings, Surroundings surroundings)
    : loop_(clock),
      settings_(std::move(settings)),
      surroundings_(std::move(surroundings)),
      boot_id_(ReadBootId()),
      started_(clock.Now()),
      started_monotonic_(clock.Monotonic()),
      counting_since_(started_),
      consent_(loop_, settings_),
      machine_id_(settings_.state_dir, settings_.config_dir),
      signals_(*this),
      syncs_(*this),
      machine_id_due_(loop_, [this] { RenewMachineId(); }),
      scan_due_(loop_, [this] { ScanSpool(); }),
      trim_due_(loop_, [this] { TrimJournal(); }),
      journal_due_(loop_, [] {}),  // the round that it wakes ends with a flush
      service_(loop_, std::move(surroundings_.notify),
               [this] { return status_teller_->MakeSentence(); }),
      save_due_(loop_, kSaveInterval, [this] { SaveState(); }) {}

Daemon::~Daemon() {
  if (frames_.is_bound_here) ::unlink(settings_.socket_path.c_str());
  if (control_socket_.is_bound_here) ::unlink(settings_.control_path.c_str());
}

Status Daemon::Open() {
  TELEM_CHECK(loop_.Open());
  TELEM_TRY(const std::optional<User> user, FindUserToBecome());
  TELEM_CHECK(MakeFolders(user));
  TELEM_CHECK(BindSockets());
  TELEM_CHECK(ChangeUser(user));
  TELEM_CHECK(CheckFolders(user));
  TELEM_CHECK(OpenStore());

  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&handled, signal);
  signals_.fd.Reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.fd.valid()) return SystemError("signalfd", errno);
  TELEM_CHECK(loop_.Watch(signals_.fd.get(), EPOLLIN, &signals_));
  clock_offset_ = ClockOffset(loop_.clock());
  loop_.SetAfterRound([this] { EndRound(); });
  machine_id_due_.SetAfter(kMachineIdCheck);
  scan_due_.SetAfter(std::chrono::nanoseconds(0));
  return Serve();
}

Status Daemon::MakeFolders(const std::optional<User>& owner) const {
  const auto make = [&](const std::string& path, mode_t mode) {
    return owner ? EnsureFolderOf(path, mode, owner->uid, owner->gid) : EnsureFolder(path, mode);
  };
  TELEM_CHECK(make(settings_.spool_dir, 0700));
  TELEM_CHECK(make(settings_.state_dir, 0755));
  TELEM_CHECK(make(settings_.log_dir, 0755));
  TELEM_CHECK(make(FolderOf(settings_.socket_path), 0755));
  return make(FolderOf(settings_.control_path), 0755);
}

// That files can be made there is found out at start, before anything is promised.
Status Daemon::CheckFolders(const std::optional<User>& owner) const {
  for (const std::string& path : {settings_.spool_dir, settings_.state_dir, settings_.log_dir}) {
    if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0) continue;
    const int err = errno;
    std::string what = "write to folder '" + path + "'";
    if (owner) what += std::string(" as user ") + owner->name;
    return SystemError(what, err);
  }
  return {};
}

Status Daemon::BindSockets() {
  for (PassedSocket& passed : surroundings_.sockets) {
    const bool is_control = passed.name == "control" || passed.path == settings_.control_path;
    Listener& listener = is_control ? control_socket_ : frames_;
    if (listener.fd.valid()) {
      return Fail(ErrorCode::kInvalid, "'" + passed.path + "': one socket too many was passed");
    }
    listener.fd = std::move(passed.fd);
  }
  surroundings_.sockets.clear();
  is_activated_ = frames_.fd.valid();
  TELEM_CHECK(Bind(frames_, settings_.socket_path));
  return Bind(control_socket_, settings_.control_path);
}

Status Daemon::Bind(Listener& listener, const std::string& path) {
  if (listener.fd.valid()) return {};
  TELEM_TRY(listener.fd, ListenAt(path, 0666));
  listener.is_bound_here = true;
  return {};
}

Status Daemon::ChangeUser(const std::optional<User>& user) const {
  if (user) return Become(*user);
  if (::geteuid() == 0) {
    Log(LogLevel::kNotice, "there is no user telemetry: staying root");
  }
  return {};
}

Status Daemon::OpenStore() {
  TELEM_TRY(spool_,
            Spool::Open(loop_.clock(), settings_.spool_dir, settings_.state_dir + "/rejected"));
  TELEM_TRY(journal_, Journal::Open(settings_.log_dir, settings_.journal_max_records));
  LoadMachineId();
  retention_.emplace(settings_.log_dir + "/records", settings_.retention_max_records);
  limiter_.SetLimits(LimitsOf(settings_));
  TELEM_TRY(log_folder_, OpenAt(AT_FDCWD, settings_.log_dir, O_RDONLY | O_DIRECTORY));
  syncer_.emplace(spool_->folder_fd(), log_folder_.get());
  TELEM_CHECK(syncer_->Open());
  TELEM_CHECK(loop_.Watch(syncer_->done_fd(), EPOLLIN, &syncs_));
  finisher_.emplace(loop_, *spool_, *journal_, counters_, boot_id_);
  delivery_.emplace(loop_, settings_, *spool_, *finisher_, limiter_, consent_,
                    DeliveryWorker::Way{.socket = FolderOf(settings_.control_path) + "/deliver",
                                        .program = surroundings_.deliver_program});
  admission_.emplace(Admission::Parts{.loop = loop_,
                                      .settings = settings_,
                                      .machine_id = machine_id_,
                                      .spool = *spool_,
                                      .syncer = *syncer_,
                                      .journal = *journal_,
                                      .retention = *retention_,
                                      .limiter = limiter_,
                                      .consent = consent_,
                                      .delivery = *delivery_,
                                      .finisher = *finisher_,
                                      .counters = counters_},
                     boot_id_);
  consent_follower_.emplace(ConsentFollower::Parts{.loop = loop_,
                                                   .settings = settings_,
                                                   .consent = consent_,
                                                   .spool = *spool_,
                                                   .delivery = *delivery_,
                                                   .counters = counters_,
                                                   .load_machine_id = [this] { LoadMachineId(); }},
                            started_);
  return {};
}

Status Daemon::Serve() {
  RestoreState();
  status_teller_.emplace(StatusTeller::Parts{.clock = loop_.clock(),
                                             .settings = settings_,
                                             .machine_id = machine_id_,
                                             .spool = *spool_,
                                             .consent = consent_,
                                             .consent_follower = *consent_follower_,
                                             .delivery = *delivery_,
                                             .counters = counters_,
                                             .started = started_,
                                             .counting_since = counting_since_});
  intake_.emplace(loop_, counters_, RaiseDescriptorLimit(),
                  [this](const IncomingRecord& record) { return admission_->Admit(record); });
  TELEM_CHECK(intake_->Listen(std::move(frames_.fd)));
  auto rights = FindControlRights();
  if (!rights) {
    Log(LogLevel::kWarning, rights.error().message + "; only root may use the control socket");
    rights.emplace();
  }
  control_.emplace(loop_, std::move(*rights), [this](const Peer& peer) {
    return std::make_unique<SpoolDesk>(SpoolDesk::Parts{.loop = loop_,
                                                        .settings = settings_,
                                                        .spool = *spool_,
                                                        .journal = *journal_,
                                                        .consent = consent_,
                                                        .delivery = *delivery_,
                                                        .admission = *admission_,
                                                        .counters = counters_,
                                                        .status = *status_teller_},
                                       peer);
  });
  TELEM_CHECK(control_->Listen(std::move(control_socket_.fd)));
  seen_ = Look();
  service_.Ready();
  return {};
}

Status Daemon::Run() {
  TELEM_CHECK(loop_.Run());
  service_.Stopping();
  AnswerThoseWhoWait();
  SaveState();
  // Those whose frames were taken in the last round have their answers; what they were told holds.
  return syncer_->Sync();
}

// With spool_sync = always a sync may be under way, and others have come for the next one.
void Daemon::AnswerThoseWhoWait() {
  while (syncer_->IsBusy()) {
    syncer_->Wait();
    OnSynced();
    admission_->EndRound(*intake_);
  }
  FlushJournal();  // whom a failed sync let down
}

// The order is the promise: files, then journal, then status bytes; and for what is finished: the
// journal first, then the file goes.
void Daemon::EndRound() {
  FollowClock();
  consent_follower_->Follow();
  FlushJournal();
  admission_->EndRound(*intake_);
  if (!consent_follower_->EvictSome()) delivery_->Pump();
  intake_->EndRound();
  FlushJournal();  // what Pump() found to be at its end: expired, damaged, gone
  finisher_->RemoveFinished();
  consent_follower_->ClearLaterRejected();
  if (journal_->IsOvergrown()) TrimJournal();
  NoteChanges();
  RecycleIfDue();
  consent_.StartRound();
}

Daemon::Seen Daemon::Look() const {
  Seen now{
      .counters = counters_, .has_consent = consent_follower_->has_consent(), .last_error = {}};
  if (const auto& error = delivery_->last_error()) now.last_error = error->time;
  return now;
}

void Daemon::NoteChanges() {
  const Seen now = Look();
  if (now == seen_) return;
  seen_ = now;
  service_.Touch();
  save_due_.Touch();
}

// A fresh process has the memory of a fresh process. Nobody notices: the next record starts it.
void Daemon::RecycleIfDue() {
  if (!may_recycle_ || !settings_.daemon_recycling_enabled) return;
  const bool is_idle = intake_->connections() == 0 && !spool_->is_scanning() &&
                       spool_->waiting() + delivery_->not_in_spool_list() == 0;
  if (is_idle) loop_.Stop();
}

void Daemon::RestoreState() {
  const auto text = ReadFile(SavedStateFile(settings_), kMaxStateFile);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) {
      Log(LogLevel::kWarning, text.error().message + ", counting from 0");
    }
    return;
  }
  const auto saved = ParseSavedState(*text);
  if (!saved) {
    return Log(LogLevel::kWarning,
               "'" + SavedStateFile(settings_) + "' is damaged, counting from 0");
  }
  counters_ = CarryOver(saved->counters);
  counting_since_ = std::min(saved->counting_since, started_);
  delivery_->set_last_success(saved->last_success);
  const Clock& clock = loop_.clock();
  limiter_.Restore(saved->limiter_lines, AgeOf(*saved, boot_id_, clock), clock.Monotonic());
}

void Daemon::SaveState() {
  if (consent_.IsWithheld()) return;  // nothing is written down any more
  const Clock& clock = loop_.clock();
  const std::string text = FormatSavedState({.counting_since = counting_since_,
                                             .counters = counters_,
                                             .last_success = delivery_->last_success(),
                                             .boot_id = boot_id_,
                                             .wall = clock.Now(),
                                             .monotonic = clock.Monotonic(),
                                             .limiter_lines = limiter_.Save(clock.Monotonic())});
  // Nothing that was promised depends on it, so nobody waits for the disk.
  const Status saved = ReplaceFile(SavedStateFile(settings_), text, 0600, Durability::kLater);
  if (!saved && !is_state_troubled_) Log(LogLevel::kError, saved.error().message);
  is_state_troubled_ = !saved;
}

// What this process wrote down by the clock before is put right when the clock is set. In all else
// it goes by the monotonic one.
void Daemon::FollowClock() {
  const std::chrono::nanoseconds offset = ClockOffset(loop_.clock());
  // Down: no record that came with consent may seem to have come before it.
  const auto step = std::chrono::floor<std::chrono::seconds>(offset - clock_offset_);
  if (std::chrono::abs(step) < kClockStep) return;
  clock_offset_ = offset;
  delivery_->Restamp();
  consent_follower_->MoveStart(step);
}

void Daemon::FlushJournal() {
  if (!journal_->HasPending()) return;
  const Status flushed = journal_->Flush();
  if (!flushed && !is_journal_troubled_) {
    Log(LogLevel::kError, flushed.error().message + "; its lines are written when it can be again");
  }
  is_journal_troubled_ = !flushed;
  if (!flushed) journal_due_.SetAfter(kJournalPause);
  if (!trim_due_.IsSet()) trim_due_.SetAfter(kTrimDelay);
}

void Daemon::TrimJournal() {
  if (const Status trimmed = journal_->Trim(); !trimmed) {
    Log(LogLevel::kError, trimmed.error().message);
  }
  // Looking through the journal left holes between what stays; they go back to the system.
  ::malloc_trim(0);
}

// Who has opted out gets no id: it would be a thing collected.
void Daemon::LoadMachineId() {
  if (!consent_.IsGiven()) return;
  for (const std::string& problem : machine_id_.Load(loop_.clock().Now())) {
    Log(LogLevel::kWarning, problem);
  }
}

void Daemon::RenewMachineId() {
  machine_id_due_.SetAfter(kMachineIdCheck);
  // By the one timer that runs when idle.
  may_recycle_ = is_activated_ && loop_.clock().Monotonic() - started_monotonic_ >= kRecycleAfter;
  if (!consent_.IsGiven()) return;
  for (const std::string& problem : machine_id_.RenewIfOld(loop_.clock().Now())) {
    Log(LogLevel::kWarning, problem);
  }
}

void Daemon::ScanSpool() {
  const auto more = spool_->ScanSome(kScanStep, [this](const Spool::Found& found) {
    if (found.kind == Spool::Found::Kind::kStays) {
      return Log(LogLevel::kError, "spool file '" + found.file_name + "': " + found.reason +
                                       ", leaving it there until telemd starts again");
    }
    ++counters_.found;
    if (found.kind != Spool::Found::Kind::kInvalid) {
      if (consent_follower_->CameBefore(found.came)) {
        delivery_->Evict(found.name.id, "made before consent was given");
      }
      return;
    }
    Log(LogLevel::kWarning, "spool file '" + found.file_name + "': " + found.reason +
                                ", moving it to the rejected ones");
    finisher_->RejectFound(found);
  });
  if (!more) {
    Log(LogLevel::kError, more.error().message + "; looking again soon");
    scan_due_.SetAfter(kScanPause);
  } else if (*more) {
    scan_due_.SetAfter(std::chrono::nanoseconds(0));
  }
}

void Daemon::OnSynced() { admission_->OnSynced(syncer_->TakeResult(), *intake_); }

void Daemon::OnSignal() {
  signalfd_siginfo info{};
  while (::read(signals_.fd.get(), &info, sizeof info) == sizeof info) {
    switch (static_cast<int>(info.ssi_signo)) {
      case SIGCHLD:
        delivery_->ReapWorker();
        break;
      case SIGHUP:
        Reload();
        break;
      default:
        loop_.Stop();
        break;
    }
  }
}

// What was opened at start stays where it is.
void Daemon::KeepPlaces(Settings& fresh) const {
  struct Place {
    const char* key;
    std::string Settings::* path;
  };
  for (const auto& [key, path] :
       {Place{"socket_path", &Settings::socket_path},
        Place{"control_path", &Settings::control_path}, Place{"spool_dir", &Settings::spool_dir},
        Place{"config_dir", &Settings::config_dir}, Place{"state_dir", &Settings::state_dir},
        Place{"log_dir", &Settings::log_dir}}) {
    if (fresh.*path == settings_.*path) continue;
    Log(LogLevel::kWarning, std::string(key) + " stays '" + settings_.*path + "' until telemd is " +
                                "started again; then it is '" + fresh.*path + "'");
    fresh.*path = settings_.*path;
  }
}

void Daemon::Reload() {
  service_.Reloading();
  auto loaded = LoadSettingsStrictly(surroundings_.config_file);
  if (loaded) {
    Apply(std::move(*loaded));
  } else {
    LogLines(LogLevel::kError, loaded.error().message);
    Log(LogLevel::kError, "the configuration has mistakes: the old settings stay in force");
    delivery_->TryNow();
  }
  service_.Reloaded();
}

// Nothing in here can fail: the new settings are in force together or not at all.
void Daemon::Apply(LoadedSettings loaded) {
  for (const std::string& warning : loaded.warnings) Log(LogLevel::kWarning, warning);
  Settings& fresh = loaded.settings;
  KeepPlaces(fresh);
  settings_ = std::move(fresh);
  journal_->set_max_records(settings_.journal_max_records);
  retention_->set_max_records(settings_.retention_max_records);
  limiter_.SetLimits(LimitsOf(settings_));
  consent_.Look();
  LoadMachineId();
  delivery_->Restart();
  Log(LogLevel::kNotice, "read the configuration again");
}

}  // namespace telem
