#include "daemon/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/files.h"
#include "base/flat_json.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/spool_desk.h"

namespace telem {
namespace {

constexpr std::chrono::hours kMachineIdCheck{1};

// So many files are looked at before senders get their turn again.
constexpr size_t kScanStep = 200;
constexpr std::chrono::seconds kScanPause{10};  // after a disk did not list them

// So many records are given up before senders get their turn again.
constexpr size_t kEvictStep = 200;

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

// A folder that files are to be made in. Found out at start, before anything is promised.
Status EnsureWritableFolder(const std::string& path, mode_t mode) {
  TELEM_CHECK(EnsureFolder(path, mode));
  if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    return SystemError("write to folder '" + path + "'", errno);
  }
  return {};
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

int64_t Seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

RateLimiter::Limits LimitsOf(const Settings& settings) {
  if (!settings.rate_limit_enabled) return {};
  return {.records = settings.record_burst_limit,
          .bytes = settings.byte_burst_limit,
          .record_window = std::chrono::minutes(settings.record_window_length),
          .byte_window = std::chrono::minutes(settings.byte_window_length)};
}

}  // namespace

Daemon::Daemon(const Clock& clock, Settings settings, std::string config_file,
               std::string deliver_program)
    : loop_(clock),
      settings_(std::move(settings)),
      config_file_(std::move(config_file)),
      deliver_program_(std::move(deliver_program)),
      boot_id_(ReadBootId()),
      started_(clock.Now()),
      consent_(loop_, settings_),
      machine_id_(settings_.state_dir, settings_.config_dir),
      signals_(*this),
      syncs_(*this),
      machine_id_due_(loop_, [this] { RenewMachineId(); }),
      scan_due_(loop_, [this] { ScanSpool(); }),
      trim_due_(loop_, [this] { TrimJournal(); }),
      journal_due_(loop_, [] {}),  // the round that it wakes ends with a flush
      evict_due_(loop_, [] {}) {}  // the round that it wakes goes on with it

Daemon::~Daemon() {
  // Only what this process has bound.
  if (intake_) ::unlink(settings_.socket_path.c_str());
  if (control_) ::unlink(settings_.control_path.c_str());
}

Status Daemon::Open() {
  TELEM_CHECK(loop_.Open());
  TELEM_CHECK(MakeFolders());
  TELEM_CHECK(OpenStore());
  TELEM_CHECK(OpenSockets());

  sigset_t handled;
  sigemptyset(&handled);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&handled, signal);
  signals_.fd.Reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.fd.valid()) return SystemError("signalfd", errno);
  TELEM_CHECK(loop_.Watch(signals_.fd.get(), EPOLLIN, &signals_));
  had_consent_ = consent_.IsGiven();
  consent_seen_ = started_;
  loop_.SetAfterRound([this] { EndRound(); });
  machine_id_due_.SetAfter(kMachineIdCheck);
  scan_due_.SetAfter(std::chrono::nanoseconds(0));
  return {};
}

Status Daemon::MakeFolders() const {
  TELEM_CHECK(EnsureWritableFolder(settings_.spool_dir, 0700));
  TELEM_CHECK(EnsureWritableFolder(settings_.state_dir, 0755));
  TELEM_CHECK(EnsureWritableFolder(settings_.log_dir, 0755));
  TELEM_CHECK(EnsureFolder(FolderOf(settings_.socket_path), 0755));
  return EnsureFolder(FolderOf(settings_.control_path), 0755);
}

Status Daemon::OpenStore() {
  TELEM_TRY(spool_,
            Spool::Open(loop_.clock(), settings_.spool_dir, settings_.state_dir + "/rejected"));
  TELEM_TRY(journal_, Journal::Open(settings_.log_dir, settings_.journal_max_records));
  for (const std::string& problem : machine_id_.Load(loop_.clock().Now())) {
    Log(LogLevel::kWarning, problem);
  }
  retention_.emplace(settings_.log_dir + "/records", settings_.retention_max_records);
  limiter_.SetLimits(LimitsOf(settings_));
  syncer_.emplace(spool_->folder_fd());
  TELEM_CHECK(syncer_->Open());
  TELEM_CHECK(loop_.Watch(syncer_->done_fd(), EPOLLIN, &syncs_));
  delivery_.emplace(loop_, settings_, *spool_, *journal_, limiter_, consent_, counters_,
                    deliver_program_, boot_id_);
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
                                      .counters = counters_},
                     boot_id_);
  return {};
}

Status Daemon::OpenSockets() {
  TELEM_TRY(UniqueFd frames, ListenAt(settings_.socket_path, 0666));
  intake_.emplace(loop_, counters_, RaiseDescriptorLimit(),
                  [this](const IncomingRecord& record) { return admission_->Admit(record); });
  TELEM_CHECK(intake_->Listen(std::move(frames)));
  TELEM_TRY(UniqueFd control, ListenAt(settings_.control_path, 0666));
  control_.emplace(loop_, [this](const Peer& peer) {
    return std::make_unique<SpoolDesk>(
        SpoolDesk::Parts{.loop = loop_,
                         .settings = settings_,
                         .spool = *spool_,
                         .journal = *journal_,
                         .consent = consent_,
                         .delivery = *delivery_,
                         .admission = *admission_,
                         .counters = counters_,
                         .make_status = [this] { return MakeStatus(); }},
        peer);
  });
  return control_->Listen(std::move(control));
}

Status Daemon::Run() {
  TELEM_CHECK(loop_.Run());
  // Those whose frames were taken in the last round have their answers; what they were told holds.
  if (::syncfs(spool_->folder_fd()) != 0) return SystemError("sync the spool", errno);
  return {};
}

// The order is the promise: files, then journal, then status bytes; and for what is finished: the
// journal first, then the file goes.
void Daemon::EndRound() {
  FollowConsent();
  FlushJournal();
  admission_->EndRound(*intake_);
  if (!EvictForConsent()) delivery_->Pump();
  FlushJournal();  // what Pump() found to be at its end: expired, damaged, gone
  delivery_->RemoveFinished();
  if (journal_->IsOvergrown()) TrimJournal();
  consent_.StartRound();
}

// Without consent nothing leaves from this moment on, and what waits to leave goes; so that nothing
// made before the user opts in is ever sent after it.
void Daemon::FollowConsent() {
  const bool has_consent = consent_.IsGiven();
  if (has_consent && !had_consent_) {
    Log(LogLevel::kNotice, "consent is given: collecting");
    consent_seen_ = loop_.clock().Now();
    delivery_->TryNow();
  } else if (!has_consent && had_consent_) {
    Log(LogLevel::kNotice, "consent is gone: collecting nothing any more");
    delivery_->Cut();
  }
  had_consent_ = has_consent;
  if (consent_.IsWithheld()) {
    if (is_consent_noted_ != false) ForgetConsentSince();
    evict_before_ = WallTime::max();
  } else if (has_consent && is_consent_noted_ != true && !spool_->is_scanning()) {
    NoteConsentSince();
  }
}

void Daemon::NoteConsentSince() {
  is_consent_noted_ = true;
  auto since = ReadConsentSince(settings_);
  if (!since) {
    since = std::chrono::floor<std::chrono::seconds>(consent_seen_);
    const WaitingRecord* const oldest = spool_->Oldest();
    if (settings_.consent == ConsentMode::kOptIn) {
      since = std::min(*since, FindOptInTime(settings_).value_or(*since));
    } else if (oldest != nullptr) {
      // Collected with consent already before that was written down: by telemetrics-client.
      since = std::min(*since, std::chrono::floor<std::chrono::seconds>(oldest->id().Time()));
    }
    if (const Status written = WriteConsentSince(settings_, *since); !written) {
      Log(LogLevel::kError, written.error().message);
    }
  }
  // A time to come means that the clock was set back, and says nothing about records.
  evict_before_ = *since <= loop_.clock().Now() ? WallTime(*since) : WallTime();
}

void Daemon::ForgetConsentSince() {
  is_consent_noted_ = false;
  if (const Status removed = RemoveConsentSince(settings_); !removed) {
    Log(LogLevel::kError, removed.error().message);
  }
}

// Some in each round, so that senders get their turn. Returns whether there are more.
bool Daemon::EvictForConsent() {
  if (evict_before_ == WallTime()) return false;
  const bool is_withheld = consent_.IsWithheld();
  const char* const why = is_withheld ? "opted out" : "made before consent was given";
  if (delivery_->Evict(evict_before_, kEvictStep, why)) {
    evict_due_.SetAfter(std::chrono::nanoseconds(0));
    return true;
  }
  if (!is_withheld) evict_before_ = {};
  return false;
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

void Daemon::RenewMachineId() {
  for (const std::string& problem : machine_id_.RenewIfOld(loop_.clock().Now())) {
    Log(LogLevel::kWarning, problem);
  }
  machine_id_due_.SetAfter(kMachineIdCheck);
}

void Daemon::ScanSpool() {
  const auto more = spool_->ScanSome(kScanStep, [this](const Spool::Found& found) {
    if (found.kind == Spool::Found::Kind::kUnreadable) {
      return Log(LogLevel::kError, "spool file '" + found.file_name + "': " + found.reason +
                                       ", leaving it there until telemd starts again");
    }
    ++counters_.found;
    if (found.kind != Spool::Found::Kind::kInvalid) return;
    Log(LogLevel::kWarning, "spool file '" + found.file_name + "': " + found.reason +
                                ", moving it to the rejected ones");
    delivery_->RejectFound(found);
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

void Daemon::Reload() {
  auto loaded = LoadSettingsStrictly(config_file_);
  if (!loaded) {
    Log(LogLevel::kError, loaded.error().message + "; the old settings stay in force");
    return delivery_->TryNow();
  }
  for (const std::string& warning : loaded->warnings) Log(LogLevel::kWarning, warning);
  Settings& fresh = loaded->settings;
  // What was opened at start stays where it is.
  for (std::string Settings::* const place :
       {&Settings::socket_path, &Settings::control_path, &Settings::spool_dir,
        &Settings::config_dir, &Settings::state_dir, &Settings::log_dir}) {
    if (fresh.*place == settings_.*place) continue;
    Log(LogLevel::kWarning, "'" + fresh.*place + "' in place of '" + settings_.*place +
                                "' takes effect when telemd is started again");
    fresh.*place = settings_.*place;
  }
  settings_ = std::move(fresh);
  journal_->set_max_records(settings_.journal_max_records);
  retention_->set_max_records(settings_.retention_max_records);
  limiter_.SetLimits(LimitsOf(settings_));
  for (const std::string& problem : machine_id_.Load(loop_.clock().Now())) {
    Log(LogLevel::kWarning, problem);
  }
  consent_.Look();
  delivery_->Restart();
  Log(LogLevel::kNotice, "read the configuration again");
}

std::string Daemon::MakeStatus() {
  FlatJsonWriter json;
  const auto add_count = [&](const char* name, uint64_t value) {
    json.Add(name, static_cast<int64_t>(value));
  };
  const auto add_time = [&](const char* name, std::optional<WallTime> time) {
    if (time) {
      json.Add(name, Seconds(*time));
    } else {
      json.AddNull(name);
    }
  };
  const Clock& clock = loop_.clock();
  json.Add("version", TELEM_VERSION).Add("pid", static_cast<int64_t>(::getpid()));
  add_time("started", started_);
  json.Add("collecting", consent_.IsGiven())
      .Add("consent", settings_.consent == ConsentMode::kOptIn ? "opt-in" : "opt-out")
      .Add("delivery_enabled", settings_.record_server_delivery_enabled)
      .Add("server", settings_.server)
      .Add("server_protocol", settings_.server_protocol)
      .Add("machine_id", machine_id_.value());
  add_time("machine_id_created",
           machine_id_.is_static() ? std::nullopt : std::optional(machine_id_.created()));
  json.Add("machine_id_static", machine_id_.is_static());

  add_count("frames", counters_.frames);
  add_count("refused_malformed", counters_.refused_malformed);
  add_count("refused_too_large", counters_.refused_too_large);
  add_count("refused_spool_full", counters_.refused_spool_full);
  add_count("refused_opted_out", counters_.refused_opted_out);
  add_count("refused_rate_limited", counters_.dropped);
  add_count("refused_io_error", counters_.refused_io_error);
  add_count("closed_incomplete", counters_.closed_incomplete);
  add_count("found", counters_.found);
  add_count("accepted", counters_.accepted);
  add_count("delivered", counters_.delivered);
  add_count("waiting", spool_->waiting() + delivery_->not_in_spool_list());
  add_count("rejected", counters_.rejected);
  add_count("dropped", counters_.dropped);
  add_count("evicted", counters_.evicted);
  add_count("expired", counters_.expired);
  add_count("local", counters_.local);
  add_count("spool_bytes", spool_->bytes());
  json.Add("spool_max_kib", settings_.spool_max_size);
  std::optional<WallTime> oldest_since;
  if (const auto since = spool_->OldestSince()) {
    oldest_since =
        clock.Now() - std::chrono::seconds(WaitingSeconds(clock.Monotonic()) - int64_t{*since});
  }
  add_time("oldest_waiting", oldest_since);
  add_count("under_way", delivery_->under_way());
  add_time("last_success", delivery_->last_success());
  if (const auto& error = delivery_->last_error()) {
    json.Add("last_error", error->text);
    add_time("last_error_time", error->time);
  } else {
    json.AddNull("last_error").AddNull("last_error_time");
  }
  const auto at_wall = [&](std::optional<MonotonicTime> when) -> std::optional<WallTime> {
    if (!when) return std::nullopt;
    const auto left =
        std::max<std::chrono::nanoseconds>(*when - clock.Monotonic(), std::chrono::nanoseconds(0));
    return clock.Now() + std::chrono::duration_cast<std::chrono::milliseconds>(left);
  };
  add_time("limited_until", at_wall(delivery_->limited_until()));
  add_time("next_attempt", at_wall(delivery_->next_attempt()));
  return json.Finish();
}

}  // namespace telem
