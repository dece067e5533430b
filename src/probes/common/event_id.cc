#include "probes/common/event_id.h"

#include "record/signature.h"

namespace telem {

std::string EventIdOf(std::string_view kind, std::span<const std::string> parts) {
  // Two hashes of 64 bits make the 128 of an event id.
  std::string id;
  for (const std::string_view half : {", first half", ", second half"}) {
    const std::string hash = SignatureOf(std::string(kind) + std::string(half), parts);
    id += hash.substr(hash.size() - 16);
  }
  return id;
}

}  // namespace telem
