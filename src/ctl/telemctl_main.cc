// telemctl: looks at telemd, its journal and its settings. The only file that knows CLI11.

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "config/settings.h"
#include "ctl/config_verb.h"
#include "ctl/journal_verb.h"
#include "ctl/output.h"
#include "ctl/since.h"
#include "ctl/status_verb.h"
#include "ctl/terminal_text.h"

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
    DefineJournal();
    DefineStatus();
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
    if (config_->parsed()) return RunConfig(config_options_, config_file_);
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
      const auto now = std::chrono::floor<std::chrono::seconds>(SystemClock().Now());
      auto since = ParseSince(*since_, static_cast<uint64_t>(now.time_since_epoch().count()));
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

  const CLI::App* Verb() const {
    const auto verbs = app_.get_subcommands();
    return verbs.empty() ? nullptr : verbs.front();
  }

  std::string Explain(const CLI::ParseError& error) const {
    const std::vector<std::string> left = app_.remaining(true);
    if (!left.empty()) {
      if (left.front().starts_with('-')) return "unknown option '" + left.front() + "'";
      return (Verb() == nullptr ? "unknown verb '" : "unexpected argument '") + left.front() + "'";
    }
    if (error.get_name() == "ArgumentMismatch") {
      const std::string_view what = error.what();
      return "option " + std::string(what.substr(0, what.find(':'))) + " needs a value";
    }
    if (Verb() == nullptr && error.get_name() == "RequiredError") return "a verb is missing";
    return error.what();
  }

  int Mistake(const std::string& what) const {
    const CLI::App* verb = Verb();
    if (verb == nullptr) {
      Complain(what);
      // Whoever knows no verb needs to see them.
      std::fputs(app_.help().c_str(), stderr);
    } else {
      Complain(what + ". Try 'telemctl " + verb->get_name() + " --help'.");
    }
    return kUsageMistake;
  }

  CLI::App app_{"Looks at telemd, at its journal and at its settings.", "telemctl"};
  CLI::App* journal_ = nullptr;
  CLI::App* status_ = nullptr;
  CLI::App* config_ = nullptr;
  std::string config_file_;
  JournalOptions journal_options_;
  StatusOptions status_options_;
  ConfigOptions config_options_;
  std::optional<std::string> state_;
  std::optional<std::string> since_;
  std::optional<std::string> latest_;
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
