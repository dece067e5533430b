// A record for unit tests and benchmarks.
#pragma once

#include <string>

#include "record/headers.h"

namespace telem {

inline HeaderViews SampleHeaders() {
  return HeaderViews{{"4", "org.example/test/one", "1", "FFFFFFFF", "1795445503", "x86_64",
                      "Example Inc.|Laptop 13|1.0", "\"12\"", "6.1.0-28-amd64", "1", "debian",
                      "BRD-1|Example Inc.", "Example CPU @ 1.90GHz", "1.23 (Example)",
                      "0123456789abcdef0123456789abcdef"}};
}

inline std::string SampleHeaderText() {
  std::string text;
  AppendHeaders(text, SampleHeaders());
  return text;
}

}  // namespace telem
