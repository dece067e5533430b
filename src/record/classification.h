// The classification of a record: DOMAIN/PROBE/REST.
#pragma once

#include <cstddef>
#include <string_view>

namespace telem {

inline constexpr size_t kMaxClassification = 122;  // three parts and two slashes
inline constexpr size_t kMaxClassificationPart = 40;

// Exactly two `/`, three parts of 1..40 bytes each, printable ASCII.
bool IsValidClassification(std::string_view text);

}  // namespace telem
