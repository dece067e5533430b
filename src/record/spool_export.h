// The file in which records travel by hand from a machine without a network to one with
// (docs/formats.md): a line that says what this is, each record with a line in front, and a line at
// the end, so that a file that was cut off, or went bad on its stick, is known for what it is.
//
//   telemetrics spool export 1\n
//   record ID-UID-LENGTH SIZE CRC32\n     and then SIZE bytes: the spool file
//   end COUNT\n
//
// The checksum is over the record's name and its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/spool_file.h"

namespace telem {

inline constexpr std::string_view kExportStart = "telemetrics spool export 1\n";

// What stands in front of the bytes of one record.
std::string ExportHead(const SpoolFileName& name, std::string_view spool_file);

std::string ExportEnd(size_t count);

struct ExportItem {
  enum class Kind { kRecord, kEnd };
  Kind kind = Kind::kEnd;
  // Of a record, whose bytes are what their line says, and a spool file.
  SpoolFileName name;
  std::string_view spool_file;
  size_t count = 0;  // of records, at the end
};

// Takes the next item off the front of `bytes`, which starts behind kExportStart or behind an item;
// nothing when more bytes are needed; kInvalid as soon as it is certain that this is none.
Result<std::optional<ExportItem>> TakeExportItem(std::string_view& bytes);

// CRC-32 as in IEEE 802.3 and zip: against accidents, not against malice. `before` is that of the
// bytes in front.
uint32_t Crc32(std::string_view bytes, uint32_t before = 0);

}  // namespace telem
