// journalprobe: makes records of services that failed, from the system journal.
#include <string>
#include <utility>

#include "base/log.h"
#include "probes/common/probe_run.h"
#include "probes/journal/journal_probe.h"

namespace telem {
namespace {

constexpr char kProgram[] = "journalprobe";

constexpr char kAbout[] =
    "Usage: journalprobe [OPTION]...\n"
    "Follow the system journal, and send a record of each service that fails. Begins with this "
    "boot,\n"
    "or where it stopped; ends when the user opts out.\n"
    "\n";

constexpr char kMore[] =
    "\n"
    "With -n it ends where the journal does, unless --tail is given.\n";

constexpr int kTail = 256;
constexpr int kDirectory = 257;

constexpr OptionRow kOptions[] = {
    {"tail", kTail, nullptr, "begin with what comes from now on"},
    {"directory", kDirectory, "DIR", "read the journal files in DIR, of every boot"},
};

Status TakeOption(int letter, const char* value, JournalProbeOptions& options) {
  if (letter == kTail) {
    options.tail = true;
    return {};
  }
  options.directory = value;
  if (!options.directory.empty()) return {};
  return Fail(ErrorCode::kInvalid, "--directory: the name of the folder is empty");
}

Status Report(JournalProbeOptions options, const RecordOutlet& outlet) {
  options.post = outlet.posts();
  SetLogName(kProgram);
  JournalProbe probe(outlet, outlet.settings(), std::move(options),
                     [](const std::string& what) { Log(LogLevel::kWarning, what); });
  return probe.Run();
}

// As systemd writes it when the process of a service has failed.
JournalEntry SampleEntry() {
  JournalEntry entry;
  entry.fields = {{"MESSAGE", "sample.service: Main process exited, code=exited, status=1/FAILURE"},
                  {"UNIT", "sample.service"},
                  {"EXIT_CODE", "exited"},
                  {"EXIT_STATUS", "1"},
                  {"COMMAND", "ExecStart"},
                  {"PRIORITY", "5"},
                  {"_PID", "1"},
                  {"_UID", "0"},
                  {"_TRANSPORT", "journal"}};
  return entry;
}

Status ShowSample(const RecordOutlet& outlet) {
  auto finding = FindInEntry(SampleEntry(), false);
  if (!finding) return Fail(ErrorCode::kInvalid, "the sample is no failure");
  return outlet.Hand(MakeJournalRecord(std::move(finding->payload), std::move(finding->event_id)));
}

int Main(int argc, char** argv) {
  JournalProbeOptions options;
  return RunProbe(
      {.program = kProgram,
       .about = kAbout,
       .options = kOptions,
       .more = kMore,
       .take_option = [&](int letter,
                          const char* value) { return TakeOption(letter, value, options); },
       .run = [&](const RecordOutlet& outlet) { return Report(options, outlet); },
       .show_sample = ShowSample},
      argc, argv);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
