// The data of the ACPI table BERT.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/kernel/bert_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view table = AsText(data, size);
  HasError(table);
  const std::string text = DescribeErrors(table);
  Require(text.size() <= 16 * 1024, "a description is bounded");
  for (const char c : text) Require(IsPrintableAscii(c) || c == '\n', "it is printable");
  for (const size_t limit : {size_t{0}, size_t{100}, size_t{4096}, size_t{256} * 1024}) {
    const std::string payload = WriteBertPayload(table, limit);
    Require(payload.size() <= std::max(limit, text.size() + 64), "a payload keeps its limit");
  }
  return 0;
}
