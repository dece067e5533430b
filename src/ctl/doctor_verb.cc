#include "ctl/doctor_verb.h"

#include <array>
#include <chrono>

#include "base/clock.h"
#include "config/consent.h"
#include "ctl/doctor_check.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"

namespace telem {
namespace {

struct Check {
  const char* name;
  Finding (*run)(const Patient& patient);
};

// In this order: what comes first explains what comes later.
constexpr std::array kChecks = {
    Check{"configuration", CheckConfiguration},
    Check{"consent", CheckConsent},
    Check{"units", CheckUnits},
    Check{"telemd", CheckTelemd},
    Check{"rights", CheckRights},
    Check{"disk", CheckDisk},
    Check{"clock", CheckClock},
    Check{"library", CheckLibrary},
    Check{"core pattern", CheckCorePattern},
    Check{"server", CheckServer},
    Check{"network", CheckNetwork},
    Check{"certificates", CheckCertificates},
    Check{"delivery", CheckDelivery},
    Check{"spool", CheckSpool},
    Check{"rate limit", CheckRateLimit},
    Check{"rejected", CheckRejected},
};
constexpr size_t kNameWidth = 14;

Status AskTelemd(Patient& patient) {
  TELEM_TRY(ControlClient client, ControlClient::Connect(patient.settings().control_path));
  TELEM_CHECK(client.Ask(FlatJsonWriter().Add("command", "status")));
  TELEM_TRY(auto status, client.NextLine());
  patient.status = std::move(status.fields);
  TELEM_TRY(patient.waiting, ListRecords(client, "spool-list"));
  TELEM_TRY(patient.rejected, ListRecords(client, "rejected-list"));
  return {};
}

std::string Text(const Check& check, const Finding& finding, bool colors) {
  struct Word {
    const char* word;
    const char* color;
  };
  static constexpr std::array<Word, 3> kWords = {
      {{"well", "\x1b[32m"}, {"ILL ", "\x1b[31m"}, {"skip", "\x1b[33m"}}};
  const auto& [word, color] = kWords[static_cast<size_t>(finding.kind)];
  std::string line = colors ? std::string(color) + word + "\x1b[0m" : word;
  line += "  ";
  std::string name = check.name;
  name.resize(kNameWidth, ' ');
  line += name + TerminalLine(finding.what) + "\n";
  if (!finding.cure.empty()) {
    line += std::string(6 + kNameWidth, ' ') + "-> " + TerminalLine(finding.cure) + "\n";
  }
  return line;
}

}  // namespace

int RunDoctor(const std::string& config_file) {
  Output output(Output::Paging::kNever);
  auto loaded = LoadSettings(config_file);
  if (!loaded) {
    output.Complain(loaded.error().message);
    return 1;
  }
  Patient patient;
  patient.loaded = std::move(*loaded);
  patient.is_consent_given = IsCollectionAllowed(patient.settings());
  patient.now = static_cast<uint64_t>(EpochSeconds(SystemClock().Now()));
  if (Status asked = AskTelemd(patient); !asked) patient.silence = std::move(asked.error());

  bool is_well = true;
  for (const Check& check : kChecks) {
    const Finding finding = check.run(patient);
    if (finding.kind == Finding::Kind::kIll) is_well = false;
    output.Write(Text(check, finding, output.has_colors()));
    output.Flush();  // some look at the network and take their time
  }
  const int written = output.Finish();
  return is_well ? written : 1;
}

}  // namespace telem
