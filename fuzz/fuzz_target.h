// What the fuzz targets share. Each defines LLVMFuzzerTestOneInput for one door through which
// foreign bytes come in, says in Require() what must hold for any bytes, and has its corpus in
// corpus/TARGET, which also runs as an ordinary test (run_corpus.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace telem {

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What does not hold is a finding: libFuzzer keeps the input of an abort.
inline void Require(bool holds, const char* claim) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", claim);
  std::abort();
}

}  // namespace telem
