// The fifteen headers of a record (format version 4): their names, order, rules and text form.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

inline constexpr size_t kHeaderCount = 15;

// In the order in which they always stand.
enum class Header : size_t {
  kRecordFormatVersion,
  kClassification,
  kSeverity,
  kMachineId,
  kCreationTimestamp,
  kArch,
  kHostType,
  kBuild,
  kKernelVersion,
  kPayloadFormatVersion,
  kSystemName,
  kBoardName,
  kCpuModel,
  kBiosVersion,
  kEventId,
};

inline constexpr std::array<std::string_view, kHeaderCount> kHeaderNames = {
    "record_format_version",
    "classification",
    "severity",
    "machine_id",
    "creation_timestamp",
    "arch",
    "host_type",
    "build",
    "kernel_version",
    "payload_format_version",
    "system_name",
    "board_name",
    "cpu_model",
    "bios_version",
    "event_id",
};

inline constexpr std::string_view kRecordFormatVersion = "4";
inline constexpr size_t kMaxHeaderLine = 4096;  // what the daemon reads, newline included
inline constexpr size_t kMaxHeaders = kHeaderCount * kMaxHeaderLine;
inline constexpr size_t kMaxPayload =
    size_t{256} * 1024;  // 1.x: 8 KiB; a crash with many threads is more

constexpr std::string_view NameOf(Header header) {
  return kHeaderNames[static_cast<size_t>(header)];
}

// What servers take: 249 bytes of host_type, 199 of every other value.
constexpr size_t MaxValue(Header header) { return header == Header::kHostType ? 249 : 199; }

// The values of a record's headers. Views into text that somebody else keeps.
struct HeaderViews {
  std::array<std::string_view, kHeaderCount> values;

  std::string_view operator[](Header header) const { return values[static_cast<size_t>(header)]; }
  std::string_view& operator[](Header header) { return values[static_cast<size_t>(header)]; }
};

// Splits `text` (exactly fifteen lines `name: value\n` in their order) and checks the form of each:
// no control characters, lines of at most 4 KiB. What the values mean is CheckHeaders' job.
Result<HeaderViews> SplitHeaders(std::string_view text);

// Takes fifteen such lines off the front of `text`, which may go on behind them.
Result<HeaderViews> TakeHeaders(std::string_view& text);

// Checks the values that have rules: format version 4, classification, severity 1..4, event id of
// 32 lower-case hex digits, decimal timestamp and payload version.
Status CheckHeaders(const HeaderViews& headers);

// 1..4, of headers that were checked.
inline unsigned SeverityOf(const HeaderViews& headers) {
  return static_cast<unsigned>(headers[Header::kSeverity].front() - '0');
}

// Appends the fifteen lines. A value longer than servers take is cut, and bytes other than
// printable ASCII become `?`: 1.x clients copy what the firmware says of itself, and one odd vendor
// name must not cost a machine all its records.
void AppendHeaders(std::string& out, const HeaderViews& headers);

}  // namespace telem
