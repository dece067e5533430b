// klogscanner: finds the kernel's reports in its log and makes records of them.
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/command_line.h"
#include "base/files.h"
#include "probes/common/record_outlet.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/log_reader.h"

namespace telem {
namespace {

constexpr char kProgram[] = "klogscanner";

constexpr char kHelp[] =
    "Usage: klogscanner [OPTION]...\n"
    "Find what the kernel reported in a saved log, and send a record for each report.\n"
    "\n"
    "      --log FILE          read FILE (`-`: standard input); needed\n" TELEM_PROBE_HELP;

constexpr int kLog = 256;

constexpr option kOptions[] = {
    {"log", required_argument, nullptr, kLog},
    TELEM_PROBE_OPTIONS,
    {},
};

struct Arguments {
  ProbeOptions common;
  std::string log;
};

Result<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  opterr = 0;
  int letter;
  while ((letter = ::getopt_long(argc, argv, ":" TELEM_PROBE_LETTERS, kOptions, nullptr)) != -1) {
    if (letter == kLog) {
      arguments.log = optarg;
      continue;
    }
    TELEM_TRY(const bool taken, TakeProbeOption(letter, optarg, arguments.common));
    if (!taken) return Fail(ErrorCode::kInvalid, DescribeBadOption(letter, kOptions, argv));
    if (arguments.common.help || arguments.common.version) return arguments;
  }
  if (optind < argc) return Fail(ErrorCode::kInvalid, DescribeUnexpected(argv[optind]));
  if (arguments.log.empty()) return Fail(ErrorCode::kInvalid, "--log FILE is missing");
  TELEM_CHECK(CheckProbeOptions(arguments.common));
  return arguments;
}

Status ScanFile(const Arguments& arguments, const RecordOutlet& outlet) {
  UniqueFd file;
  int fd = STDIN_FILENO;
  if (arguments.log != "-") {
    TELEM_TRY(file, OpenAt(AT_FDCWD, arguments.log, O_RDONLY));
    fd = file.get();
  }
  return ReadReports(
      fd, [&](const RawReport& raw) -> Status { return outlet.Hand(MakeKernelRecord(raw, "")); });
}

int Main(int argc, char** argv) {
  const auto arguments = ParseArguments(argc, argv);
  if (!arguments) return UsageMistake(kProgram, arguments.error().message, kProbeMistake);
  if (arguments->common.help) return PrintHelp(kHelp);
  if (arguments->common.version) return PrintVersion(kProgram);
  const auto outlet = RecordOutlet::Open(arguments->common);
  if (!outlet) return Failure(kProgram, outlet.error().message);
  if (!outlet->IsWanted()) return EXIT_SUCCESS;
  const Status scanned = ScanFile(*arguments, *outlet);
  return scanned ? EXIT_SUCCESS : Failure(kProgram, scanned.error().message);
}

}  // namespace
}  // namespace telem

int main(int argc, char** argv) { return telem::Main(argc, argv); }
