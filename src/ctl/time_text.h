// Times as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace telem {

// Local time as `%a %Y-%m-%d %H:%M:%S %Z`; "@SECONDS" for one that no calendar holds.
std::string LocalTimeText(uint64_t seconds);

// "45 s", "12 min", "5 h", "3 d": the largest unit of which there are at least two, cut off.
std::string DurationText(uint64_t seconds);

}  // namespace telem
