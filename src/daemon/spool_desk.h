// SpoolDesk: what a person may ask about single records, and do with them, through the control
// socket: those that wait, those that were rejected, and what became of one. One a connection.
//
// Nothing in here grows with the spool: lists are read from the folder as they are told, records
// come and go in pieces. What a person does is counted and journaled like what telemd does by
// itself, so the equation of counters.h holds, and the journal says who did it.
#pragma once

#include <dirent.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/consent_watch.h"
#include "config/settings.h"
#include "daemon/admission.h"
#include "daemon/control.h"
#include "daemon/counters.h"
#include "daemon/delivery.h"
#include "daemon/status_teller.h"
#include "store/journal.h"
#include "store/spool.h"

namespace telem {

class SpoolDesk final : public ControlSession {
 public:
  // What it works with; all of it outlives this.
  struct Parts {
    EventLoop& loop;
    const Settings& settings;
    Spool& spool;
    Journal& journal;
    ConsentWatch& consent;
    Delivery& delivery;
    Admission& admission;
    Counters& counters;
    const StatusTeller& status;
  };

  SpoolDesk(const Parts& parts, const Peer& peer);

  void Begin(const ControlRequest& request) override;
  bool Next(std::string& out) override;

 private:
  // Appends a piece of an answer; false when it is complete.
  using Teller = std::function<bool(std::string& out)>;
  struct CloseDir {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };

  Result<Teller> Serve(const ControlRequest& request);
  Result<Teller> ListWaiting();
  bool ListSomeWaiting(DIR* folder, std::string& out);
  void TellWaiting(const SpoolFileName& name, std::string& out);
  Result<Teller> ShowWaiting(const std::string& id);
  Result<Teller> DropWaiting(const std::string& id, std::string_view reason);
  Result<Teller> Flush();
  Result<Teller> Import(const ControlRequest& request);
  Result<bool> IsKnown(const SpoolFileName& name);
  Result<Teller> ListRejected();
  void TellRejected(const RejectedFolder::File& file, std::string& out);
  Result<RejectedFolder::File> FindRejected(const std::string& name);
  Result<Teller> ShowRejected(const std::string& name);
  Result<Teller> RetryRejected(const std::string& name);
  Result<Teller> DropRejected(const std::string& name);
  Result<Teller> ShowJournaled(const std::string& event_id);

  Status CheckMaySend() const;
  void LetWait(const WaitingRecord& record, const SpoolFileParts& parts, const char* what);
  void LeaveRejected();
  void AddLine(const SpoolFileName& name, const HeaderViews& headers, size_t bytes,
               RecordState state, std::string_view detail);
  std::string ByHand(std::string_view what) const;

  Parts parts_;
  const Peer peer_;
  Teller teller_;
  std::string imported_;                     // the pieces of a record so far
  std::optional<std::set<RecordId>> known_;  // what the journal and the rejected ones tell of
};

}  // namespace telem
