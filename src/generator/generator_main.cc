// telemetrics-generator: tells systemd how this machine's user consents (systemd.generator(7)).
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/command_line.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "config/settings.h"
#include "generator/consent_conditions.h"

namespace telem {
namespace {

constexpr char kProgram[] = "telemetrics-generator";
constexpr int kExitUsage = 2;

constexpr char kAbout[] =
    "Usage: telemetrics-generator NORMAL [EARLY LATE]\n"
    "Write drop-ins for telemetrics' units into the folder NORMAL, where 'consent' or 'config_dir' "
    "of\n"
    "telemetrics.conf asks for other conditions than the units have. systemd runs it at boot and "
    "at\n"
    "'systemctl daemon-reload'.\n"
    "\n";

constexpr OptionRow kOptions[] = {
    {"help", 'h', nullptr, "show this help"},
    {"version", 'V', nullptr, "show the version"},
};

Status WriteDropIns(const std::string& folder, const std::string& text) {
  std::string_view units = TELEM_UNITS;  // names with colons between them
  while (!units.empty()) {
    const std::string drop_ins = folder + "/" + std::string(TakeUntil(units, ':')) + ".d";
    TELEM_CHECK(EnsureFolder(drop_ins, 0755));
    TELEM_CHECK(ReplaceFile(drop_ins + "/50-consent.conf", text, 0644, Durability::kLater));
  }
  return {};
}

int Main(int argc, char** argv) {
  SetLogName(kProgram);
  const OptionTable options({kOptions});
  const int choice = options.Next(argc, argv);
  if (choice == 'h') return PrintHelp(kAbout + options.Help());
  if (choice == 'V') return PrintVersion(kProgram);
  if (choice != -1) return UsageMistake(kProgram, options.DescribeBad(choice, argv), kExitUsage);
  const int folders = argc - optind;
  if (folders < 1) return UsageMistake(kProgram, "a folder is missing", kExitUsage);
  if (folders > 3) {
    return UsageMistake(kProgram, DescribeUnexpected(argv[optind + 3]), kExitUsage);
  }
  // As libtelemetry: a mistake elsewhere in the file is telemd's to tell.
  const auto loaded = LoadSettings("");
  if (!loaded) return Failure(kProgram, loaded.error().message);
  const std::string conditions = ConsentConditions(loaded->settings);
  if (conditions.empty()) return EXIT_SUCCESS;
  const Status written = WriteDropIns(argv[optind], conditions);
  return written ? EXIT_SUCCESS : Failure(kProgram, written.error().message);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
