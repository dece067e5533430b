// What telemd says of itself, for people.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace telem {

// The members of telemd's answer: strings unescaped, numbers and words as they stand. Those that
// this version does not know are passed over, those that are missing are shown as `-`.
using StatusFields = std::map<std::string, std::string>;

// The first line says whether telemd collects, since when and for whom; then one line a fact.
// Foreign text comes out fit for a terminal. `now` is in seconds since the epoch.
std::string StatusText(const StatusFields& status, uint64_t now, bool colors);

// The same where telemd does not run: what the configuration and the spool tell.
struct Stopped {
  std::string why;  // as the control socket shows it
  bool is_consent_given = false;
  std::string server;
  std::string server_protocol;
  std::string spool_dir;
  std::optional<size_t> waiting;  // files in the spool, where it may be looked at
};
std::string StoppedText(const Stopped& stopped, bool colors);

}  // namespace telem
