// telemetrics.conf: its syntax, and the settings that it makes.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/files.h"
#include "base/unique_fd.h"
#include "config/config_file.h"
#include "config/settings.h"
#include "fuzz_target.h"

namespace telem {
namespace {

LoadedSettings Load(std::string_view text) {
  // LoadSettings reads files; this one has no folder and no disk.
  const UniqueFd file(::memfd_create("telemetrics.conf", MFD_CLOEXEC));
  Require(file.valid() && WriteAll(file.get(), text).has_value(), "a file in memory");
  auto loaded = LoadSettings("/proc/self/fd/" + std::to_string(file.get()));
  Require(loaded.has_value(), "a file that can be read is loaded, whatever it says");
  return std::move(*loaded);
}

void CheckText(std::string_view text) {
  const ConfigText config = ParseConfigText(text);
  const auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
  int last = 0;
  for (const ConfigLine& line : config.lines) {
    Require(line.line > last && line.line <= lines, "each line has its own number");
    last = line.line;
  }
  last = 0;
  for (const ConfigMistake& mistake : config.mistakes) {
    Require(mistake.line > last && mistake.line <= lines, "each mistake has its line");
    Require(!mistake.what.empty(), "each mistake is explained");
    last = mistake.line;
  }
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view text = AsText(data, size);
  if (text.size() > kMaxConfigFile) return 0;
  CheckText(text);

  const LoadedSettings loaded = Load(text);
  std::string shown = "[settings]\n";
  for (const SettingInForce& setting : loaded.in_force) {
    shown += setting.key + " = " + setting.value + "\n";
  }
  const LoadedSettings again = Load(shown);
  Require(again.errors.empty() && again.warnings.empty(), "settings in force are valid");
  for (size_t i = 0; i < loaded.in_force.size(); ++i) {
    Require(again.in_force[i].value == loaded.in_force[i].value,
            "settings that are shown can be written into a file");
  }
  return 0;
}
