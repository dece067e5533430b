#include "ctl/test_verb.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "base/random.h"
#include "base/text.h"
#include "config/consent.h"
#include "ctl/child_output.h"
#include "ctl/control_client.h"
#include "ctl/kept_records.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "ctl/time_text.h"
#include "record/record_id.h"
#include "store/journal_line.h"

namespace telem {
namespace {

constexpr std::chrono::milliseconds kPause{50};

std::string MakeEventId() {
  std::array<unsigned char, kHexIdSize / 2> bytes;
  FillRandom(bytes.data(), bytes.size());
  std::string id;
  AppendHex(id, bytes.data(), bytes.size());
  return id;
}

class HelloTest {
 public:
  HelloTest(const TestOptions& options, const Settings& settings, Output& output)
      : options_(options), settings_(settings), output_(output), event_id_(MakeEventId()) {}

  // Whether the server has it; what is in the way is an error.
  Status Run() {
    TELEM_CHECK(CheckSettings());
    TELEM_TRY(const auto status, Ask());
    Tell("telemd", "runs, pid " + FieldOf(status, "pid"));
    if (FieldOf(status, "collecting") != "true") return Stuck("telemd collects nothing: opted out");
    TELEM_CHECK(Send());
    Tell("record", "taken over by telemd, event id " + event_id_);
    // Where this is not root's telemctl, telemd tries when it is due.
    (void)AskOnce(settings_.control_path, FlatJsonWriter().Add("command", "spool-flush"));
    return Follow();
  }

 private:
  void Tell(std::string_view station, std::string_view what) {
    std::string line(station);
    line.append(line.size() < 10 ? 10 - line.size() : 1, ' ');
    line += TerminalLine(what);
    output_.Write(line + "\n");
    output_.Flush();
  }

  static std::unexpected<Error> Stuck(std::string why) {
    return Fail(ErrorCode::kUnavailable, std::move(why));
  }

  Status CheckSettings() {
    if (!IsCollectionAllowed(settings_)) {
      return Stuck(settings_.consent == ConsentMode::kOptIn
                       ? "consent is not given: nobody has opted in"
                       : "consent is not given: opted out");
    }
    Tell("consent", "given");
    if (settings_.server.empty()) return Stuck("no server is set: records stay on this machine");
    if (!settings_.record_server_delivery_enabled) {
      return Stuck("record_server_delivery_enabled is false: records stay on this machine");
    }
    Tell("server", settings_.server + " (" + settings_.server_protocol + ")");
    if (settings_.journal_max_records == 0) {
      return Stuck("journal_max_records is 0, and without a journal no record can be followed");
    }
    return {};
  }

  Result<ControlFields> Ask() {
    TELEM_TRY(auto answer,
              AskOnce(settings_.control_path, FlatJsonWriter().Add("command", "status")));
    return std::move(answer.fields);
  }

  // As any script would.
  Status Send() {
    std::vector<std::string> command = {OwnFolder() + "/telem-record-gen",
                                        "-c",
                                        settings_.classification_domain + "/hello/world",
                                        "-p",
                                        "hello\n",
                                        "-e",
                                        event_id_};
    if (!options_.config_file.empty()) command.insert(command.end(), {"-f", options_.config_file});
    const auto sent = OutputOf(command, 4096);
    if (sent) return {};
    return Stuck("telemd did not take the record over: " + sent.error().message);
  }

  Status Follow() {
    const SystemClock clock;
    const MonotonicTime end = clock.Monotonic() + options_.timeout;
    bool is_journaled = false;
    std::string last_trouble;
    while (true) {
      TELEM_TRY(const auto record, FindInJournal());
      if (record) {
        if (FieldOf(*record, "state") != NameOf(RecordState::kSpooled)) return Finish(*record);
        if (!is_journaled) Tell("spool", "waits as " + FieldOf(*record, "id"));
        is_journaled = true;
      }
      if (clock.Monotonic() >= end) return GiveUp(is_journaled);
      TellTrouble(last_trouble);
      std::this_thread::sleep_for(kPause);
    }
  }

  // By telemd: it answers also those who may not read the file.
  Result<std::optional<ControlFields>> FindInJournal() {
    auto answer = AskOnce(settings_.control_path,
                          FlatJsonWriter().Add("command", "journal-show").Add("name", event_id_));
    if (answer) return std::move(answer->fields);
    if (answer.error().code == ErrorCode::kNotFound) return std::nullopt;
    return std::unexpected(std::move(answer.error()));
  }

  // What hinders delivery at the moment, once.
  void TellTrouble(std::string& last) {
    const auto status = Ask();
    if (!status || FieldOf(*status, "failing") != "true") return;
    const std::string trouble = FieldOf(*status, "last_error");
    if (trouble == last) return;
    last = trouble;
    Tell("delivery", trouble);
  }

  Status Finish(const ControlFields& record) {
    const std::string state = FieldOf(record, "state");
    if (state == NameOf(RecordState::kDelivered)) {
      Tell("delivered", "the server has it");
      return {};
    }
    const std::string detail = FieldOf(record, "detail");
    return Stuck("the record was " + state + (detail == "-" ? "" : ": " + detail));
  }

  Status GiveUp(bool is_journaled) {
    std::string why = "not delivered within " + std::to_string(options_.timeout.count()) + " s: ";
    if (!is_journaled) return Stuck(why + "telemd took it over and does not journal it");
    const auto status = Ask();
    if (!status) return Stuck(why + status.error().message);
    why += "it waits in the spool, " + FieldOf(*status, "waiting") + " there in all";
    if (FieldOf(*status, "last_error") != "-") {
      why += "; last error: " + FieldOf(*status, "last_error");
    }
    const auto now_s = static_cast<uint64_t>(EpochSeconds(SystemClock().Now()));
    const auto next = ParseUnsigned(FieldOf(*status, "next_attempt"));
    if (next && *next > now_s) why += "; next attempt in " + DurationText(*next - now_s);
    return Stuck(std::move(why));
  }

  const TestOptions& options_;
  const Settings& settings_;
  Output& output_;
  const std::string event_id_;
};

}  // namespace

int RunTest(const TestOptions& options, const Settings& settings) {
  Output output(Output::Paging::kNever);
  const Status delivered = HelloTest(options, settings, output).Run();
  if (!delivered) return ComplainOfTelemd(delivered.error(), output);
  return output.Finish();
}

}  // namespace telem
