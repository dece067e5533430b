// klogscanner: finds the kernel's reports in its log and makes records of them.
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "base/command_line.h"
#include "base/files.h"
#include "probes/common/privileges.h"
#include "probes/common/probe_run.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/kmsg_scanner.h"
#include "probes/kernel/log_reader.h"
#include "probes/kernel/sample_evidence.h"

namespace telem {
namespace {

constexpr char kProgram[] = "klogscanner";

constexpr char kAbout[] =
    "Usage: klogscanner [OPTION]...\n"
    "Follow the kernel's log, and send a record for each report of the kernel in it.\n"
    "\n";

enum : int { kLog = 256, kKmsg, kSend, kFiles };

constexpr OptionRow kOptions[] = {
    {"send", kSend, nullptr, "send the records (default)"},
    {"files", kFiles, nullptr, "leave the reports as files for oopsprobe instead"},
    {"kmsg", kKmsg, "FILE", "follow FILE instead of /dev/kmsg, which is of the same form"},
    {"log", kLog, "FILE",
     "read FILE (`-`: standard input), the text of a log, to its end\n"
     "instead, and send what it holds"},
};

struct Arguments {
  std::string log;  // empty: the live one
  std::string kmsg = "/dev/kmsg";
  bool files = false;
};

Status TakeOption(int letter, const char* value, Arguments& arguments) {
  switch (letter) {
    case kLog:
      arguments.log = value;
      break;
    case kKmsg:
      arguments.kmsg = value;
      break;
    default:
      arguments.files = letter == kFiles;
  }
  return {};
}

Status CheckOptions(const Arguments& arguments, const ProbeOptions& common) {
  if (arguments.files && (!arguments.log.empty() || !common.post)) {
    return Fail(ErrorCode::kInvalid, "--files goes with neither --log nor -n/--no-post");
  }
  return {};
}

Status ScanFile(const Arguments& arguments, const RecordOutlet& outlet) {
  UniqueFd file;
  int fd = STDIN_FILENO;
  if (arguments.log != "-") {
    TELEM_TRY(file, OpenAt(AT_FDCWD, arguments.log, O_RDONLY));
    fd = file.get();
  }
  // Opening it is all that root may be needed for.
  TELEM_CHECK(GiveUpPrivileges());
  return ReadReports(
      fd, [&](const RawReport& raw) -> Status { return outlet.Hand(MakeKernelRecord(raw, "")); });
}

Status FollowLog(const Arguments& arguments, const RecordOutlet& outlet) {
  TELEM_TRY(UniqueFd log, OpenAt(AT_FDCWD, arguments.kmsg, O_RDONLY | O_NONBLOCK));
  // Opening it is all that CAP_SYSLOG is needed for.
  TELEM_CHECK(GiveUpPrivileges());
  outlet.EnsureConsentStart();
  auto way = arguments.files ? KmsgScanner::Way::kFiles : KmsgScanner::Way::kSend;
  if (!outlet.posts()) way = KmsgScanner::Way::kShow;
  KmsgScanner scanner(std::move(log), way, outlet,
                      [](const std::string& what) { Failure(kProgram, what); });
  return scanner.Run();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  return RunProbe(
      {.program = kProgram,
       .about = kAbout,
       .options = kOptions,
       .take_option = [&](int letter,
                          const char* value) { return TakeOption(letter, value, arguments); },
       .check_options = [&](const ProbeOptions& common) { return CheckOptions(arguments, common); },
       .run =
           [&](const RecordOutlet& outlet) {
             return arguments.log.empty() ? FollowLog(arguments, outlet)
                                          : ScanFile(arguments, outlet);
           },
       .show_sample =
           [](const RecordOutlet& outlet) { return HandReports(SampleWarning(), outlet); }},
      argc, argv);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
