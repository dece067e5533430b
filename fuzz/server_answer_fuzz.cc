// The body of a server's answer: its words, and what it says of a request that it took in part.
#include "base/text.h"
#include "deliver/answer.h"
#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view body = AsText(data, size);
  for (const std::string& text : {WordsOf(body), PartialSuccessOf(body)}) {
    Require(text.size() <= kMaxVerdictText, "words are bounded");
    Require(IsPrintableAscii(text), "words can be shown");
  }
  return 0;
}
