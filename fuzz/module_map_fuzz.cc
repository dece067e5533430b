// /proc/PID/maps: the kernel writes it, and whoever crashed has chosen the names of its files.
#include <algorithm>
#include <cstdint>

#include "fuzz_target.h"
#include "unwind/module_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view text = AsText(data, size);
  const std::vector<Mapping> mappings = ParseMaps(text);
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  Require(mappings.size() <= lines, "a line is one mapping at most");
  const ModuleMap map(mappings);
  uint64_t last_end = 0;
  for (size_t i = 0; i < map.modules().size(); ++i) {
    const Module& module = map.modules()[i];
    Require(module.start >= last_end && module.start < module.end, "modules do not overlap");
    Require(module.path.starts_with('/') || module.path == kVdso, "a module has a file");
    Require(map.FindModule(module.start) == i && map.FindModule(module.end - 1) == i,
            "a module is found where it is");
    Require(module.start == 0 || map.FindModule(module.start - 1) != i, "and nowhere before");
    Require(map.FindModule(module.end) != i, "and nowhere behind");
    last_end = module.end;
  }
  for (const Mapping& mapping : mappings) {
    const Mapping* found = map.FindMapping(mapping.start);
    Require(found != nullptr && found->start <= mapping.start && mapping.start < found->end,
            "what is mapped is found");
    static_cast<void>(map.IsExecutable(mapping.start));
  }
  return 0;
}
