#include "ctl/time_text.h"

#include <ctime>
#include <limits>

namespace telem {

std::string LocalTimeText(uint64_t seconds) {
  if (seconds <= static_cast<uint64_t>(std::numeric_limits<std::time_t>::max())) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm tm{};
    char text[64];
    if (::localtime_r(&time, &tm) != nullptr) {
      const size_t size = std::strftime(text, sizeof text, "%a %Y-%m-%d %H:%M:%S %Z", &tm);
      if (size > 0) return {text, size};
    }
  }
  return "@" + std::to_string(seconds);
}

std::string DurationText(uint64_t seconds) {
  if (seconds / 86400 >= 2) return std::to_string(seconds / 86400) + " d";
  if (seconds / 3600 >= 2) return std::to_string(seconds / 3600) + " h";
  if (seconds / 60 >= 2) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds) + " s";
}

}  // namespace telem
