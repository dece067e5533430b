// A line of the journal, of 1.x or of this version.
#include <string>

#include "fuzz_target.h"
#include "store/journal_line.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const auto line = ParseJournalLine(AsText(data, size));
  if (!line || !line->state) return 0;
  std::string written;
  AppendJournalLine(written, *line);
  Require(written.ends_with('\n') && written.find('\n') == written.size() - 1,
          "a line is one line");
  const auto again = ParseJournalLine(std::string_view(written).substr(0, written.size() - 1));
  Require(again && again->record_id == line->record_id && again->time == line->time &&
              again->severity == line->severity && again->bytes == line->bytes &&
              again->state == line->state && again->uid == line->uid && again->pid == line->pid,
          "a line that is written again says the same");
  std::string written_again;
  AppendJournalLine(written_again, *again);
  Require(written_again == written, "writing is the same the second time");
  return 0;
}
