// Texts of the kernel and of services, on their way into a record. Input: the name of the machine,
// a newline, the text.
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/common/masking.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view text = AsText(data, size);
  const std::string_view host_name = TakeUntil(text, '\n');
  const std::string masked = MaskPersonalData(text, host_name);
  for (const char c : masked) {
    Require(IsPrintableAscii(c) || c == '\n' || c == '\t', "what comes out is text");
  }
  // "<credentials>" in place of one byte is the most.
  Require(masked.size() <= 13 * text.size(), "no byte becomes many");
  return 0;
}
