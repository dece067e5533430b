#include "generator/consent_conditions.h"

#include <string_view>

namespace telem {
namespace {

// A path as it stands in a unit file, where `%` begins a specifier (systemd.unit(5)).
std::string Escape(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    escaped += c;
    if (c == '%') escaped += '%';
  }
  return escaped;
}

}  // namespace

std::string ConsentConditions(const Settings& settings) {
  std::string conditions;
  const std::string folder = Escape(settings.config_dir);
  if (settings.config_dir != Settings().config_dir) {
    conditions += "ConditionPathExists=!" + folder + "/opt-out\n";
  }
  if (settings.consent == ConsentMode::kOptIn) {
    conditions += "ConditionPathExists=" + folder + "/opt-in\n";
  }
  if (conditions.empty()) return "";
  return "# Made by telemetrics-generator(8) from consent and config_dir of telemetrics.conf(5).\n"
         "[Unit]\n" +
         conditions;
}

}  // namespace telem
