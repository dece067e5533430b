// The syntax of telemetrics.conf: INI with one section `[settings]`, `key = value`, comments that
// start with `#` or `;`, and `\s` for a space in a value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace telem {

struct ConfigLine {
  int line = 0;
  std::string key;
  std::string value;
};

struct ConfigMistake {
  int line = 0;
  std::string what;
};

struct ConfigText {
  std::vector<ConfigLine> lines;
  std::vector<ConfigMistake> mistakes;
};

inline constexpr size_t kMaxConfigFile = size_t{256} * 1024;

// Never fails: what it cannot read is among the mistakes, and the rest is read on.
ConfigText ParseConfigText(std::string_view text);

}  // namespace telem
