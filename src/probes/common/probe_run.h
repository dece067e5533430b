// RunProbe: the main of a probe that has the options of all probes, and a few of its own.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "probes/common/record_outlet.h"

namespace telem {

struct Probe {
  const char* program;
  const char* about;                        // the help text before the options
  std::span<const OptionRow> options = {};  // its own
  std::span<const OptionRow> shared_options = kProbeOptions;
  const char* more = "";  // the help text behind the options
  // Takes an option of its own; `value` is what stands behind it.
  std::function<Status(int letter, const char* value)> take_option = nullptr;
  // What is wrong with the options together, beyond the shared ones. May be missing.
  std::function<Status(const ProbeOptions&)> check_options = nullptr;
  std::function<Status(const RecordOutlet&)> run;
  // In place of `run` with --sample: what the probe makes of evidence that is built in, so that
  // people see what its records are like.
  std::function<Status(const RecordOutlet&)> show_sample = nullptr;
  // In place of `run` while the user has opted out. May be missing: then nothing is done.
  std::function<Status(const RecordOutlet&)> run_opted_out = nullptr;
};

// Returns the exit code; complains on stderr.
int RunProbe(const Probe& probe, int argc, char** argv);

}  // namespace telem
