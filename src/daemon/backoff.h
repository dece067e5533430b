// Backoff: how long to leave a server alone after failures in a row. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace telem {

// 1 s after the first failure, doubling up to `longest`, each with full jitter: anything from
// nothing to that, so that a fleet that failed together does not come back together.
// `failures` counts from 1, `random` is any 32 random bits.
inline std::chrono::milliseconds BackoffDelay(unsigned failures, std::chrono::seconds longest,
                                              uint32_t random) {
  const std::chrono::seconds doubled(int64_t{1} << std::min(failures - 1, 20U));
  const std::chrono::milliseconds ceiling = std::min(doubled, longest);
  return std::chrono::milliseconds(ceiling.count() * random / UINT32_MAX);
}

}  // namespace telem
