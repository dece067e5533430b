// What telemd says of itself, for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace telem {

// The members of telemd's answer: strings unescaped, numbers and words as they stand. Those that
// this version does not know are passed over, those that are missing are shown as `-`.
using StatusFields = std::map<std::string, std::string>;

// The first line says whether telemd collects, since when and for whom; then one line a fact.
// Foreign text comes out fit for a terminal. `now` is in seconds since the epoch.
std::string StatusText(const StatusFields& status, uint64_t now);

}  // namespace telem
