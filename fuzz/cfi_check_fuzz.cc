// The unwind tables of a file that somebody has made, as they are looked at before libdw runs them.
//
// The first byte says how: bit 0 as .debug_frame, bit 1 with an index. Two bytes are the size of
// the index. The rest is the index, and the entries right behind it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz_target.h"
#include "unwind/cfi_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  constexpr size_t kHead = 3;
  constexpr uint64_t kAddress = 0x1000;
  if (size < kHead) return 0;
  const std::span<const char> rest(reinterpret_cast<const char*>(data) + kHead, size - kHead);
  const size_t index_size = std::min<size_t>(data[1] | data[2] << 8, rest.size());
  CfiTables tables;
  tables.entries = rest.subspan(index_size);
  tables.address = kAddress + index_size;
  if ((data[0] & 2) != 0) tables.index = rest.first(index_size);
  tables.index_address = kAddress;
  tables.is_debug_frame = (data[0] & 1) != 0;

  CfiCheck check(tables);
  for (uint64_t address = 0; address < 2 * kAddress; address += 64) {
    const bool is_sound = check.IsSound(address);
    Require(check.IsSound(address) == is_sound, "an answer stays what it was");
    Require(CfiCheck(tables).IsSound(address) == is_sound, "no answer hangs on others");
  }
  return 0;
}
