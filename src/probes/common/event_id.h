// Event ids that are made from the evidence, so that a record of the same evidence has the same
// one, however often and from wherever it was read.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace telem {

// 32 lower-case hex digits from `parts`; `kind` keeps those of different probes apart.
std::string EventIdOf(std::string_view kind, std::span<const std::string> parts);

}  // namespace telem
