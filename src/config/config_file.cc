#include "config/config_file.h"

#include <algorithm>

#include "base/text.h"

namespace telem {
namespace {

std::string Unescape(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value.substr(i).starts_with("\\s")) {
      out += ' ';
      ++i;
    } else {
      out += value[i];
    }
  }
  return out;
}

}  // namespace

ConfigText ParseConfigText(std::string_view text) {
  ConfigText config;
  bool in_settings = false;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = Trim(TakeUntil(text, '\n'));
    const auto mistake = [&](std::string what) {
      config.mistakes.push_back({number, std::move(what)});
    };
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (std::any_of(line.begin(), line.end(), [](char c) { return IsControl(c) && c != '\t'; })) {
      mistake("control character in the line");
      continue;
    }
    if (line[0] == '[') {
      in_settings = line == "[settings]";
      if (!in_settings)
        mistake("unknown section " + std::string(line) + "; there is [settings] only");
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      mistake("neither 'key = value' nor a comment");
      continue;
    }
    if (!in_settings) {
      mistake("outside of the section [settings]");
      continue;
    }
    config.lines.push_back({number, std::string(Trim(line.substr(0, equals))),
                            Unescape(Trim(line.substr(equals + 1)))});
  }
  return config;
}

}  // namespace telem
