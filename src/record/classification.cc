#include "record/classification.h"

#include "base/text.h"

namespace telem {

bool IsValidClassification(std::string_view text) {
  if (text.size() > kMaxClassification || !IsPrintableAscii(text)) return false;
  int slashes = 0;
  size_t part = 0;
  for (const char c : text) {
    if (c != '/') {
      ++part;
      continue;
    }
    if (part == 0 || part > kMaxClassificationPart) return false;
    part = 0;
    ++slashes;
  }
  return slashes == 2 && part > 0 && part <= kMaxClassificationPart;
}

}  // namespace telem
