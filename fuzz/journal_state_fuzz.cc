// journalprobe's file of how far it has read.
#include "fuzz_target.h"
#include "probes/journal/journal_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string text = JournalState::FromText(AsText(data, size)).ToText();
  Require(JournalState::FromText(text).ToText() == text, "what was written is read");
  return 0;
}
