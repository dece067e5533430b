// What one check of `telemctl doctor` looks at and says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.h"
#include "ctl/control_client.h"

namespace telem {

// What the checks look at, gathered once.
struct Patient {
  LoadedSettings loaded;
  std::optional<ControlFields> status;       // where telemd answers
  Error silence;                             // why, where it does not
  std::vector<ControlClient::Line> waiting;  // records, where telemd tells of them
  std::vector<ControlClient::Line> rejected;
  uint64_t now = 0;  // seconds since the epoch

  const Settings& settings() const { return loaded.settings; }
  bool is_consent_given = false;
};

struct Finding {
  enum class Kind {
    kWell,
    kIll,      // `cure` says what helps
    kSkipped,  // it could not be looked at, and why
  };
  Kind kind = Kind::kWell;
  std::string what;
  std::string cure = {};
};

inline Finding Well(std::string what) { return {Finding::Kind::kWell, std::move(what)}; }
inline Finding Ill(std::string what, std::string cure) {
  return {Finding::Kind::kIll, std::move(what), std::move(cure)};
}
inline Finding Skipped(std::string why) { return {Finding::Kind::kSkipped, std::move(why)}; }

// This machine (doctor_machine.cc).
Finding CheckConfiguration(const Patient& patient);
Finding CheckConsent(const Patient& patient);
Finding CheckUnits(const Patient& patient);
Finding CheckTelemd(const Patient& patient);
Finding CheckRights(const Patient& patient);
Finding CheckDisk(const Patient& patient);
Finding CheckClock(const Patient& patient);
Finding CheckLibrary(const Patient& patient);
Finding CheckCorePattern(const Patient& patient);

// The way of the records (doctor_delivery.cc).
Finding CheckServer(const Patient& patient);
Finding CheckNetwork(const Patient& patient);
Finding CheckCertificates(const Patient& patient);
Finding CheckDelivery(const Patient& patient);
Finding CheckSpool(const Patient& patient);
Finding CheckRateLimit(const Patient& patient);
Finding CheckRejected(const Patient& patient);

// Who telemd is where it runs, else who it would become; and a user's name, or "uid N".
uid_t UidOfTelemd(const Patient& patient);
std::string NameOfUser(uid_t uid);

// What helps when delivery fails for `trouble`: "503 busy", or what libcurl says.
Finding Diagnose(const std::string& trouble);

}  // namespace telem
