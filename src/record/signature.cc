#include "record/signature.h"

#include <array>
#include <cstdint>

#include "base/text.h"

namespace telem {

std::string SignatureOf(std::string_view kind, std::span<const std::string> parts) {
  // datatracker.ietf.org/doc/draft-eastlake-fnv
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ '\n') * 0x100000001b3;
  };
  add(kind);
  for (const std::string& part : parts) add(part);
  std::array<unsigned char, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(hash >> (56 - 8 * i));
  }
  std::string text(kind);
  text += ':';
  AppendHex(text, bytes.data(), bytes.size());
  return text;
}

}  // namespace telem
