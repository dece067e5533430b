#include "ctl/preview_verb.h"

#include <unistd.h>

#include <array>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "base/text.h"
#include "config/delivery_target.h"
#include "ctl/child_output.h"
#include "ctl/collected_data.h"
#include "ctl/control_client.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "ctl/wire_capture.h"
#include "record/spool_file.h"

namespace telem {
namespace {

// What shows where a server would stand; no such name can exist (RFC 2606).
constexpr const char* kNoServer = "http://server.invalid/";

// What the library writes, and telemd replaces.
constexpr std::string_view kNoMachineId = "FFFFFFFF";

// How a probe prints a sample, and how it prints what it makes of evidence that is at hand.
struct Sample {
  const char* program;
  std::vector<std::string> arguments;
  const char* of_evidence;  // empty where it needs none
};

const std::array<Sample, 8>& Samples() {
  static const std::array<Sample, 8> kSamples = {{
      {"hprobe", {"--no-post"}, ""},
      {"hprobe", {"--no-post", "--heartbeat"}, ""},
      {"crashprobe", {"--sample"}, "-c CORE"},
      {"klogscanner", {"--sample"}, "--log FILE"},
      {"oopsprobe", {"--sample"}, "--dir FOLDER"},
      {"pstoreprobe", {"--sample"}, "--dir FOLDER"},
      {"bertprobe", {"--sample"}, "--table FILE"},
      {"journalprobe", {"--sample"}, "--directory FOLDER"},
  }};
  return kSamples;
}

class Previewer {
 public:
  Previewer(const Settings& settings, Output& output) : settings_(settings), output_(output) {
    target_ = DeliveryTargetOf(settings);
    if (target_.server.empty()) {
      target_.server = kNoServer;
      output.Complain("no server is set; this is what one would get");
    }
  }

  // The record of `bytes`, from a file called `file_name`.
  Status Show(const std::string& file_name, std::string_view bytes) {
    const auto name = ParseSpoolFileName(file_name.substr(file_name.rfind('/') + 1));
    TELEM_TRY(const SpoolFileParts parts,
              ParseSpoolFile(bytes, name ? std::optional(name->payload_size) : std::nullopt));
    const std::string headers = AsTakenOver(parts);
    TELEM_TRY(const std::string request,
              CaptureRequest(DeliverProgram(), target_,
                             {.id = name ? name->id : MakeRecordId(SystemClock().Now()),
                              .headers = headers,
                              .payload = parts.payload}));
    Print(request);
    return {};
  }

 private:
  // The headers as telemd hands them over: what a probe has printed has no machine id yet.
  std::string AsTakenOver(const SpoolFileParts& parts) {
    HeaderViews headers = parts.headers;
    if (headers[Header::kMachineId] != kNoMachineId) return std::string(parts.header_text);
    if (machine_id_.empty()) machine_id_ = FindMachineId();
    if (!machine_id_.empty()) headers[Header::kMachineId] = machine_id_;
    std::string text;
    AppendHeaders(text, headers);
    return text;
  }

  std::string FindMachineId() {
    if (const auto status =
            AskOnce(settings_.control_path, FlatJsonWriter().Add("command", "status"))) {
      const auto id = status->fields.find("machine_id");
      if (id != status->fields.end()) return id->second;
    }
    const auto file = ReadFile(settings_.state_dir + "/machine_id", 4096);
    if (file && IsLowerHex(Trim(*file), 32)) return std::string(Trim(*file));
    output_.Complain("telemd has not made a machine id yet; it will stand in place of " +
                     std::string(kNoMachineId));
    return "";
  }

  void Print(const std::string& request) {
    if (!output_.is_terminal()) {
      output_.Write(request);
      return;
    }
    const size_t end = request.find("\r\n\r\n") + 4;
    std::string head = request.substr(0, end);
    std::erase(head, '\r');
    output_.Write(TerminalBlock(head));
    const std::string body = request.substr(end);
    if (head.contains("Content-Encoding: gzip")) {
      output_.Write("(" + std::to_string(body.size()) + " bytes of gzip)\n");
    } else {
      output_.Write(TerminalBlock(body));
      if (!body.ends_with('\n')) output_.Write("\n");
    }
  }

  const Settings& settings_;
  Output& output_;
  DeliverySettings target_;
  std::string machine_id_;
};

int PreviewFile(const std::string& file, Previewer& previewer, Output& output) {
  const auto bytes =
      file == "-" ? ReadAll(STDIN_FILENO, kMaxSpoolFile) : ReadFile(file, kMaxSpoolFile);
  const std::string name = file == "-" ? "standard input" : "'" + file + "'";
  const Status shown =
      bytes ? previewer.Show(file, *bytes) : Status(std::unexpected(bytes.error()));
  const int written = output.Finish();
  if (shown) return written;
  const std::string& why = shown.error().message;
  output.Complain(why.contains(file) ? why : name + ": " + why);
  return 1;
}

int PreviewSamples(const std::string& config_file, Previewer& previewer, Output& output) {
  int code = 0;
  for (const Sample& sample : Samples()) {
    const std::string program = OwnFolder() + "/" + sample.program;
    if (::access(program.c_str(), X_OK) != 0) continue;
    std::vector<std::string> command = {program};
    command.insert(command.end(), sample.arguments.begin(), sample.arguments.end());
    if (!config_file.empty()) command.insert(command.end(), {"-f", config_file});
    // The requests themselves stay as they are, one after the other.
    std::string title = "a sample of " + std::string(sample.program);
    if (sample.arguments.size() > 1) title += " " + sample.arguments.back();
    if (*sample.of_evidence != '\0') {
      title += " (of evidence at hand: " + std::string(sample.program) + " -n " +
               sample.of_evidence + " | telemctl preview -)";
    }
    output.Complain(title + ":");
    const auto record = OutputOf(command, kMaxSpoolFile);
    const Status shown =
        record ? previewer.Show("", *record) : Status(std::unexpected(record.error()));
    if (shown) continue;
    output.Complain(shown.error().message);
    code = 1;
  }
  output.Complain("what each header and line means: telemctl preview --explain");
  const int written = output.Finish();
  return code != 0 ? code : written;
}

}  // namespace

int RunPreview(const std::string& file, const std::string& config_file, const Settings& settings) {
  Output output(Output::Paging::kNever);
  Previewer previewer(settings, output);
  if (!file.empty()) return PreviewFile(file, previewer, output);
  return PreviewSamples(config_file, previewer, output);
}

int ExplainRecords() {
  Output output(Output::Paging::kOnTerminal);
  output.Write(CollectedData());
  return output.Finish();
}

}  // namespace telem
