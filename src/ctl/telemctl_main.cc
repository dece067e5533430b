// telemctl: looks at telemd, its journal and its settings. The only file that knows CLI11.

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config/settings.h"
#include "ctl/config_verb.h"
#include "ctl/consent_verbs.h"
#include "ctl/doctor_verb.h"
#include "ctl/journal_verb.h"
#include "ctl/output.h"
#include "ctl/preview_verb.h"
#include "ctl/rejected_verb.h"
#include "ctl/service_verbs.h"
#include "ctl/since.h"
#include "ctl/spool_transfer.h"
#include "ctl/spool_verb.h"
#include "ctl/status_verb.h"
#include "ctl/terminal_text.h"
#include "ctl/test_verb.h"

namespace telem {
namespace {

constexpr int kUsageMistake = 2;
constexpr const char* kVersionLine = "telemctl " TELEM_VERSION;

void Complain(std::string_view message) { Log(LogLevel::kError, TerminalLine(message)); }

int PrintAndEnd(const std::string& text) {
  Output output(Output::Paging::kNever);
  output.Write(text);
  return output.Finish();
}

// The command line as it was typed: options of the verbs, some still as text.
class CommandLine {
 public:
  CommandLine() {
    app_.get_formatter()->column_width(34);
    app_.set_help_flag("-h,--help", "Print this help and exit");
    app_.set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    app_.require_subcommand(1);
    AddConfigFile(app_);
    DefineServices();
    DefineJournal();
    DefineStatus();
    DefineSpool();
    DefineRejected();
    DefinePreview();
    DefineTest();
    doctor_ = AddVerb("doctor", "Look for what commonly goes wrong; name cause and cure");
    doctor_->set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    DefineConfig();
  }

  // The exit code, or nothing when there is a verb to run.
  std::optional<int> Parse(std::vector<std::string> arguments) {
    // CLI11 takes them from the back.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
      app_.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
      return PrintAndEnd(app_.help());
    } catch (const CLI::CallForVersion&) {
      return PrintAndEnd(std::string(kVersionLine) + "\n");
    } catch (const CLI::ParseError& error) {
      return Mistake(Explain(error));
    }
    return std::nullopt;
  }

  int Run() {
    if (config_options_.json && config_options_.check) {
      return Mistake("--json and --check do not go together");
    }
    if (explain_ && !file_.empty()) return Mistake("--explain and a FILE do not go together");
    if (config_->parsed()) return RunConfig(config_options_, config_file_);
    if (doctor_->parsed()) return RunDoctor(config_file_);
    if (Verb()->get_option_no_throw("--all") != nullptr && record_.empty() && !all_) {
      return Mistake("an ID or --all is missing");
    }
    if (journal_->parsed()) {
      if (auto read = ReadJournalTexts(); !read) return Mistake(read.error().message);
    }
    auto loaded = LoadSettings(config_file_);
    if (!loaded) {
      Complain(loaded.error().message);
      return 1;
    }
    for (const std::string& error : loaded->errors) Complain(error);
    if (journal_->parsed()) return RunJournal(journal_options_, loaded->settings);
    if (action_) return action_(loaded->settings);
    return RunStatus(status_options_, loaded->settings);
  }

 private:
  void AddConfigFile(CLI::App& app) {
    app.add_option("--config-file", config_file_, "Read the settings from FILE")
        ->type_name("FILE")
        ->take_last();
  }

  CLI::App* AddVerb(const char* name, const char* description) {
    CLI::App* verb = app_.add_subcommand(name, description);
    AddConfigFile(*verb);
    return verb;
  }

  using Action = std::function<int(const Settings&)>;
  void SetAction(CLI::App* verb, Action action) {
    verb->set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    verb->parse_complete_callback([this, run = std::move(action)] { action_ = run; });
  }

  // A verb of several, each of which has a job of its own.
  CLI::App* AddFamily(const char* name, const char* description) {
    CLI::App* family = AddVerb(name, description);
    family->set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    family->require_subcommand(1);
    return family;
  }

  CLI::App* AddMember(CLI::App* family, const char* name, const char* description, Action action) {
    CLI::App* verb = family->add_subcommand(name, description);
    AddConfigFile(*verb);
    SetAction(verb, std::move(action));
    return verb;
  }

  void AddRecord(CLI::App* verb, const char* description) {
    verb->add_option("ID", record_, description)->type_name("")->required();
  }
  // A record, or all of them: one of the two must be said.
  void AddRecordOrAll(CLI::App* verb, const char* description) {
    auto* const record = verb->add_option("ID", record_, description)->type_name("");
    auto* const all = verb->add_flag("--all", all_, "All of them");
    record->excludes(all);
  }

  void DefineServices() {
    AddService("start", "Start everything that collects (root)", RunStart);
    AddService("stop", "Stop it all (root)", RunStop);
    AddService("restart", "Stop it all and start it again (root)", RunRestart);
    AddService("is-active", "Print whether telemd's socket is active", RunIsActive);
    AddService("opt-out", "Collect nothing any more, and remove all that was (root)", RunOptOut);
    AddService("opt-in", "Give consent and start (root)", RunOptIn);
  }

  void AddService(const char* name, const char* description, int (*run)(const Installation&)) {
    SetAction(AddVerb(name, description), [this, run](const Settings& settings) {
      return run({.settings = settings, .config_file = config_file_});
    });
  }

  void DefineSpool() {
    CLI::App* spool = AddFamily("spool", "Look after the records that wait");
    constexpr const char* kRecord = "The record: its id, or a unique beginning or end of it";
    AddMember(spool, "list", "List the records that wait, oldest first",
              [this](const Settings& settings) { return RunSpoolList(json_, settings); })
        ->add_flag("--json", json_, "Print one JSON object a line");
    AddRecord(AddMember(spool, "show", "Print a record: headers and payload",
                        [this](const Settings& s) { return RunSpoolShow(record_, s); }),
              kRecord);
    AddRecordOrAll(AddMember(spool, "drop", "Give up a record unsent (root)",
                             [this](const Settings& s) { return RunSpoolDrop(record_, s); }),
                   kRecord);
    AddMember(spool, "flush", "Try to send at once what waits (root)",
              [](const Settings& settings) { return RunSpoolFlush(settings); });
    CLI::App* out = AddMember(
        spool, "export", "Write the records that wait to a file, to be sent by another machine",
        [this](const Settings& s) { return RunSpoolExport(file_, remove_, s); });
    out->add_option("FILE", file_, "Where to; must not be there yet; - for standard output")
        ->type_name("")
        ->required();
    out->add_flag("--remove", remove_,
                  "Give them up here once the file is safe on its disk (root)");
    AddMember(spool, "import", "Put the records of such a file into the spool (root)",
              [this](const Settings& s) { return RunSpoolImport(file_, s); })
        ->add_option("FILE", file_, "The file; - for standard input")
        ->type_name("")
        ->required();
  }

  void DefineRejected() {
    CLI::App* rejected = AddFamily("rejected", "Look after the records that cannot be delivered");
    constexpr const char* kRecord =
        "The record: its id or file name, or a unique beginning or end of it";
    AddMember(rejected, "list", "List them with the reasons", [this](const Settings& settings) {
      return RunRejectedList(json_, settings);
    })->add_flag("--json", json_, "Print one JSON object a line");
    AddRecord(AddMember(rejected, "show", "Print a record: headers and payload",
                        [this](const Settings& s) { return RunRejectedShow(record_, s); }),
              kRecord);
    AddRecordOrAll(AddMember(rejected, "retry", "Put a record back into the spool (root)",
                             [this](const Settings& s) { return RunRejectedRetry(record_, s); }),
                   kRecord);
    AddRecordOrAll(AddMember(rejected, "drop", "Give up a record (root)",
                             [this](const Settings& s) { return RunRejectedDrop(record_, s); }),
                   kRecord);
  }

  template <typename Target>
  void AddText(const char* names, Target& target, const char* type, const char* description) {
    journal_->add_option(names, target, description)->type_name(type)->take_last();
  }

  void DefineJournal() {
    journal_ = AddVerb("journal", "Print what became of the records, oldest first");
    JournalSelection& selection = journal_options_.selection;
    AddText("-r,--record_id", selection.record_id, "ID", "Only the record with this id");
    AddText("-e,--event_id", selection.event_id, "ID", "Only records with this event id");
    AddText("-c,--classification", selection.classification, "CLASS",
            "Only this classification, or those below PREFIX/*");
    AddText("-b,--boot_id", selection.boot_id, "ID", "Only records of this boot");
    AddText("--state", state_, "STATE",
            "Only records that are spooled, delivered, rejected, dropped, expired, evicted or "
            "local");
    AddText("--since", since_, "TIME",
            "Only records from TIME on: YYYY-MM-DD[ HH:MM[:SS]], @EPOCH, -2h, '2h ago' (s m h d)");
    AddText("-n", latest_, "N", "Only the latest N of them");
    journal_->add_flag("-i,--include_record", journal_options_.include_record,
                       "Print the retained payload behind each line");
    journal_->add_flag("-V,--verbose", journal_options_.verbose,
                       "Print headings, and the number of records at the end");
    journal_->add_flag("--wide", journal_options_.wide,
                       "Add state, severity, bytes, uid, command and detail");
    journal_->add_flag("--json", journal_options_.json, "Print one JSON object a line");
    journal_->add_flag("-f,--follow", journal_options_.follow,
                       "Print the latest 10 (or N), then go on as records come");
  }

  void DefineStatus() {
    status_ = AddVerb("status", "Ask telemd what it does and what it has done");
    status_->set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    status_->add_flag("--json", status_options_.json, "Print telemd's answer as one line of JSON");
  }

  void DefinePreview() {
    CLI::App* preview = AddVerb("preview", "Print the bytes that would be sent, and send nothing");
    SetAction(preview, [this](const Settings& s) {
      return explain_ ? ExplainRecords() : RunPreview(file_, config_file_, s);
    });
    preview->add_flag("--explain", explain_,
                      "Print what each header and line of a record is, and why it is there");
    preview
        ->add_option("FILE", file_,
                     "A record as in the spool or as a probe's --no-post prints it; - for "
                     "standard input; without: a sample of each probe")
        ->type_name("");
  }

  void DefineTest() {
    CLI::App* test = AddVerb("test", "Send a record and follow it to the server's answer");
    SetAction(test, [this](const Settings& s) {
      return RunTest({.timeout = std::chrono::seconds(timeout_), .config_file = config_file_}, s);
    });
    test->add_option("--timeout", timeout_, "Give up after SECONDS (30)")
        ->type_name("SECONDS")
        ->check([](const std::string& text) {
          const auto seconds = ParseUnsigned(text);
          const bool is_good = seconds && *seconds >= 1 && *seconds <= 3600;
          return is_good ? "" : "'" + text + "' is not a whole number from 1 to 3600";
        })
        ->take_last();
  }

  void DefineConfig() {
    config_ = AddVerb("config", "Print the settings in force and where each came from");
    config_->set_version_flag("-V,--version", kVersionLine, "Print the version and exit");
    config_
        ->add_option("--check", config_options_.check,
                     "Print only the mistakes and warnings of FILE (and FILE.d/*.conf)")
        ->type_name("FILE")
        ->take_last();
    config_->add_flag("--json", config_options_.json, "Print one JSON object a setting");
  }

  Status ReadJournalTexts() {
    if (journal_options_.json && journal_options_.verbose) {
      return Fail(ErrorCode::kInvalid, "--json and --verbose do not go together");
    }
    if (state_) {
      journal_options_.selection.state = FindRecordState(*state_);
      if (!journal_options_.selection.state) {
        return Fail(ErrorCode::kInvalid, "--state: '" + *state_ +
                                             "' is not spooled, delivered, rejected, dropped, "
                                             "expired, evicted or local");
      }
    }
    if (since_) {
      auto since = ParseSince(*since_, static_cast<uint64_t>(EpochSeconds(SystemClock().Now())));
      if (!since) return WithContext("--since", std::move(since.error()));
      journal_options_.selection.since = *since;
    }
    if (latest_) {
      const auto count = ParseUnsigned(*latest_);
      if (!count || *count == 0) {
        return Fail(ErrorCode::kInvalid, "-n: '" + *latest_ + "' is not a whole number above 0");
      }
      journal_options_.latest = count;
    }
    return {};
  }

  // The verb that was typed, the innermost one.
  const CLI::App* Verb() const {
    const CLI::App* verb = &app_;
    while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
    return verb == &app_ ? nullptr : verb;
  }

  static bool IsFamily(const CLI::App* verb) { return verb->get_require_subcommand_min() > 0; }

  // "telemctl spool list"
  static std::string NameOf(const CLI::App* verb) {
    const CLI::App* parent = verb->get_parent();
    return (parent == nullptr ? "" : NameOf(parent) + " ") + verb->get_name();
  }

  std::string Explain(const CLI::ParseError& error) const {
    const std::vector<std::string> left = app_.remaining(true);
    if (!left.empty()) {
      if (left.front().starts_with('-')) return "unknown option '" + left.front() + "'";
      const bool wants_verb = Verb() == nullptr || IsFamily(Verb());
      return (wants_verb ? "unknown verb '" : "unexpected argument '") + left.front() + "'";
    }
    if (error.get_name() == "ArgumentMismatch") {
      const std::string_view what = error.what();
      return "option " + std::string(what.substr(0, what.find(':'))) + " needs a value";
    }
    if (error.get_name() == "RequiredError") {
      if (Verb() == nullptr || IsFamily(Verb())) return "a verb is missing";
      const std::string_view what = error.what();
      return std::string(what.substr(0, what.find(' '))) + " is missing";
    }
    if (error.get_name() == "ExcludesError") return "--all and an ID do not go together";
    return error.what();
  }

  int Mistake(const std::string& what) const {
    const CLI::App* verb = Verb();
    if (verb == nullptr) {
      Complain(what);
      // Whoever knows no verb needs to see them.
      std::fputs(app_.help().c_str(), stderr);
    } else {
      Complain(what + ". Try '" + NameOf(verb) + " --help'.");
    }
    return kUsageMistake;
  }

  CLI::App app_{"Looks at telemd, at its journal and at its settings.", "telemctl"};
  CLI::App* journal_ = nullptr;
  CLI::App* status_ = nullptr;
  CLI::App* config_ = nullptr;
  CLI::App* doctor_ = nullptr;
  std::string config_file_;
  JournalOptions journal_options_;
  StatusOptions status_options_;
  ConfigOptions config_options_;
  std::optional<std::string> state_;
  std::optional<std::string> since_;
  std::optional<std::string> latest_;
  // Of the verbs that come in families, and what they were given.
  Action action_;
  std::string record_;
  std::string file_;
  bool all_ = false;
  bool json_ = false;
  bool remove_ = false;
  bool explain_ = false;
  int timeout_ = 30;
};

}  // namespace
}  // namespace telem

int main(int argc, char** argv) {
  telem::SetLogName("telemctl");
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string_view called = argc > 0 ? argv[0] : "";
  if (called.substr(called.rfind('/') + 1) == "telem_journal") {
    arguments.insert(arguments.begin(), "journal");
  }
  telem::CommandLine line;
  if (const auto ended = line.Parse(std::move(arguments))) return *ended;
  return line.Run();
}
