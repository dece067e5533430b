// The spool file: one waiting record. Its name is ID-UID-LENGTH (record id, uid of the sender,
// bytes of the payload), its bytes are the fifteen header lines, the payload, and one newline that
// is not part of it. Any other name is a file of telemetrics-client 1.x or 2.x (docs/formats.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/headers.h"
#include "record/record_id.h"

namespace telem {

struct SpoolFileName {
  RecordId id;
  uint32_t uid = 0;
  uint32_t payload_size = 0;

  bool operator==(const SpoolFileName&) const = default;
  std::string ToText() const;
};

// Nothing when `name` is not of this form.
std::optional<SpoolFileName> ParseSpoolFileName(std::string_view name);

// Views into the bytes of one spool file.
struct SpoolFileParts {
  std::string_view header_text;
  HeaderViews headers;
  std::string_view payload;
};

// The largest spool file that can be valid, in bytes; 2.x may put a path in front.
inline constexpr size_t kMaxSpoolFile = kMaxHeaders + kMaxPayload + 1 + 4096;

// Reads the bytes of a spool file, of this version or of 1.x and 2.x (whose "CFG:" line is
// skipped). `payload_size` is what the name says, where it says it.
Result<SpoolFileParts> ParseSpoolFile(std::string_view bytes,
                                      std::optional<uint32_t> payload_size = std::nullopt);

}  // namespace telem
