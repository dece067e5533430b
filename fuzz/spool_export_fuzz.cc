// A file that was carried from another machine.
#include <string>

#include "fuzz_target.h"
#include "record/spool_export.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view rest = AsText(data, size);
  while (true) {
    const std::string_view before = rest;
    const auto item = TakeExportItem(rest);
    if (!item || !*item) {
      Require(rest.size() == before.size(), "nothing is taken off that was not understood");
      return 0;
    }
    const std::string_view taken = before.substr(0, before.size() - rest.size());
    Require(!taken.empty(), "each item is some bytes");
    if ((*item)->kind == ExportItem::Kind::kEnd) continue;
    Require(ParseSpoolFile((*item)->spool_file, (*item)->name.payload_size).has_value(),
            "what is taken is a record");
    Require(taken.ends_with((*item)->spool_file), "its bytes are those of the file");
  }
}
