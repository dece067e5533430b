// A record of the kernel's log, as /dev/kmsg gives it and netconsole in its extended format:
// "6,339,5140900,-,caller=T12;text".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace telem {

// Priorities from here on are of other facilities than the kernel's: processes wrote these records.
inline constexpr uint32_t kFirstForeignPriority = 8;

struct KmsgRecord {
  uint32_t priority = 0;  // facility times 8, plus level
  uint64_t sequence = 0;
  uint64_t time_us = 0;
  char flag = '-';          // 'c': a line that is continued; '+': continues the record before
  std::string_view caller;  // "T1234", "C1", or empty
  std::string_view text;    // bytes that are not printable stand as \xNN
};

// `line` is a record's first line, without its newline. Nullopt: it is none.
std::optional<KmsgRecord> ParseKmsgRecord(std::string_view line);

}  // namespace telem
