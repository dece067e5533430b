// Names of functions from the symbol tables of whatever crashed.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "unwind/demangle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string symbol(AsText(data, size));
  const std::string name = Demangle(symbol);
  // What is cut says so, with a word behind it.
  Require(name.size() <= kMaxReadable + 64, "a name is within its limit");
  Require(std::none_of(name.begin(), name.end(), [](char c) { return IsControl(c); }),
          "a name is one line");
  Require(Demangle(symbol) == name, "the same symbol has the same name");
  const std::string rust = DemangleRustV0(symbol);
  Require(rust.empty() || symbol.starts_with("_R"), "only Rust's are Rust's");
  return 0;
}
