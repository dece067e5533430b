#include "ctl/config_verb.h"

#include <algorithm>

#include "base/flat_json.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"

namespace telem {
namespace {

// EX_CONFIG of sysexits.h, with which telemd ends for the same mistakes.
constexpr int kBadConfiguration = 78;

// Values of usual length have their sources in one column; longer ones push theirs to the right.
constexpr size_t kWidestColumn = 56;

void ComplainOf(const LoadedSettings& loaded, Output& output) {
  for (const std::string& error : loaded.errors) output.Complain(error);
  for (const std::string& warning : loaded.warnings) output.Complain("warning: " + warning);
}

void PrintText(const LoadedSettings& loaded, Output& output) {
  const auto left_of = [](const SettingInForce& setting) {
    std::string text = setting.key + " =";
    if (!setting.value.empty()) text += " " + TerminalLine(setting.value);
    return text;
  };
  size_t column = 0;
  for (const SettingInForce& setting : loaded.in_force) {
    const size_t size = left_of(setting).size();
    if (size <= kWidestColumn) column = std::max(column, size);
  }
  for (const SettingInForce& setting : loaded.in_force) {
    std::string line = left_of(setting);
    if (line.size() < column) line.append(column - line.size(), ' ');
    output.Write(line + "  # " + TerminalLine(setting.source) + "\n");
  }
}

void PrintJson(const LoadedSettings& loaded, Output& output) {
  for (const SettingInForce& setting : loaded.in_force) {
    FlatJsonWriter json;
    json.Add("key", setting.key).Add("value", setting.value).Add("source", setting.source);
    output.Write(TerminalJson(json.Finish()) + "\n");
  }
}

}  // namespace

int RunConfig(const ConfigOptions& options, const std::string& config_file) {
  Output output(options.check ? Output::Paging::kNever : Output::Paging::kOnTerminal);
  const auto loaded = LoadSettings(options.check.value_or(config_file));
  if (!loaded) {
    output.Complain(loaded.error().message);
    return 1;
  }
  ComplainOf(*loaded, output);
  if (!options.check) {
    if (options.json) {
      PrintJson(*loaded, output);
    } else {
      PrintText(*loaded, output);
    }
  }
  const int written = output.Finish();
  return loaded->errors.empty() ? written : kBadConfiguration;
}

}  // namespace telem
