// Admission: decides on each record that comes in, and takes over those that may stay.
//
// A status byte 0 is a promise, so it goes out only once the record's file is in the spool and its
// line in the journal; with spool_sync = always also only once both would survive a power cut. The
// records of one round of the loop are taken over together: one write to the journal for all of
// them, and one sync.
#pragma once

#include <string>
#include <vector>

#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "daemon/finisher.h"
#include "daemon/intake.h"
#include "store/machine_id.h"
#include "store/retention.h"
#include "store/spool_syncer.h"

namespace telem {

class Admission {
 public:
  // What it works with; all of it outlives this.
  struct Parts {
    EventLoop& loop;
    const Settings& settings;
    const MachineId& machine_id;
    Spool& spool;
    SpoolSyncer& syncer;
    Journal& journal;
    Retention& retention;
    RateLimiter& limiter;
    ConsentWatch& consent;
    Delivery& delivery;
    Finisher& finisher;
    Counters& counters;
  };

  Admission(const Parts& parts, std::string boot_id);

  // Decides, writes the record's file and adds its journal line. The status must not go out before
  // EndRound() says so.
  FrameStatus Admit(const IncomingRecord& record);

  // The journal is written: sends the statuses that hold now and offers the records to delivery, or
  // starts the sync that they wait for.
  void EndRound(Intake& intake);

  // A record came into the spool by another way: it survives a power cut as soon as the others.
  void SyncSoon();

  // A sync has ended. Where senders waited for it and it failed, they are told EIO and nothing of
  // theirs is kept.
  void OnSynced(const Status& result, Intake& intake);

 private:
  // Bytes of fresh records that are kept at hand; what goes beyond is delivered from its file.
  static constexpr size_t kMaxAtHand = 64 * 1024;

  struct Taken {
    WaitingRecord record;
    size_t header_size = 0;
    bool is_at_hand = false;  // its headers and payload are the next in `bytes`
  };
  // One that stays on this machine.
  struct Local {
    RecordId id;
    std::string line = {};  // that the journal has of it
  };
  // What was taken over together.
  struct Group {
    std::vector<Taken> records;
    std::vector<Local> local;
    std::string bytes;

    bool IsEmpty() const { return records.empty() && local.empty(); }
    void Clear();
  };

  bool IsWithinRateLimit(uid_t uid, size_t size);
  bool MakeRoom(uid_t uid, size_t size);
  Status TakeOver(const SpoolFileName& name, unsigned severity, std::string_view payload);
  void RetainToo(const RecordId& id, std::string_view payload);
  void AddLine(const IncomingRecord& record, const RecordId& id, RecordState state);
  FrameStatus RefuseFor(const Error& error);
  void OfferAll(Group& group);
  void DropAll(Group& group, std::string_view why);
  const std::string& CommandOf(pid_t pid);

  Parts parts_;
  const std::string boot_id_;
  Timer sync_due_;
  RecordIdSource ids_;
  std::string header_text_;  // of the record in hand
  Group round_;
  Group syncing_;
  size_t statuses_syncing_ = 0;  // that wait for the sync under way
  bool told_of_config_path_ = false;
  bool is_troubled_ = false;            // the last record could not be kept
  bool is_retention_troubled_ = false;  // the last payload could not be retained
  pid_t command_pid_ = 0;
  MonotonicTime command_read_{};
  std::string command_;
};

}  // namespace telem
