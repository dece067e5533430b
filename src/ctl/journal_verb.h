// `telemctl journal`: what became of the records of this machine.
#pragma once

#include <cstddef>
#include <optional>

#include "config/settings.h"
#include "ctl/journal_selection.h"

namespace telem {

struct JournalOptions {
  JournalSelection selection;
  std::optional<size_t> latest;
  bool include_record = false;
  bool verbose = false;
  bool json = false;
  bool wide = false;
  bool follow = false;
};

// Prints to stdout, complains on stderr, returns the exit code.
int RunJournal(const JournalOptions& options, const Settings& settings);

}  // namespace telem
