#include "probes/common/probe_run.h"

#include <cstdlib>

#include "base/command_line.h"

namespace telem {
namespace {

Result<ProbeOptions> ParseOptions(const Probe& probe, const OptionTable& table, int argc,
                                  char** argv) {
  ProbeOptions options;
  int letter;
  while ((letter = table.Next(argc, argv)) != -1) {
    if (letter == '?' || letter == ':') {
      return Fail(ErrorCode::kInvalid, table.DescribeBad(letter, argv));
    }
    TELEM_TRY(const bool is_shared, TakeProbeOption(letter, optarg, options));
    if (!is_shared) TELEM_CHECK(probe.take_option(letter, optarg));
    if (options.help || options.version) return options;
  }
  if (optind < argc) return Fail(ErrorCode::kInvalid, DescribeUnexpected(argv[optind]));
  if (probe.check_options) TELEM_CHECK(probe.check_options(options));
  TELEM_CHECK(CheckProbeOptions(options));
  return options;
}

}  // namespace

int RunProbe(const Probe& probe, int argc, char** argv) {
  const OptionTable table({probe.options, probe.shared_options});
  const auto options = ParseOptions(probe, table, argc, argv);
  if (!options) return UsageMistake(probe.program, options.error().message, kProbeMistake);
  if (options->help) return PrintHelp(probe.about + table.Help() + probe.more);
  if (options->version) return PrintVersion(probe.program);
  const auto outlet = RecordOutlet::Open(*options);
  if (!outlet) return Failure(probe.program, outlet.error().message);
  const auto& wanted = options->sample ? probe.show_sample : probe.run;
  const auto& run = outlet->IsWanted() ? wanted : probe.run_opted_out;
  const Status done = run ? run(*outlet) : Status();
  return done ? EXIT_SUCCESS : Failure(probe.program, done.error().message);
}

}  // namespace telem
