// An entry of the system journal, as journalprobe reads it. Input: its fields, NAME=VALUE, each
// with a NUL behind it.
#include <string>

#include "base/text.h"
#include "fuzz_target.h"
#include "probes/journal/journal_finding.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  JournalEntry entry;
  std::string_view rest = AsText(data, size);
  while (!rest.empty()) {
    std::string_view value = TakeUntil(rest, '\0');
    const std::string_view name = TakeUntil(value, '=');
    entry.fields.emplace(name, value.substr(0, kMaxJournalField));
  }
  const auto finding = FindInEntry(entry, false);
  const auto error = FindInEntry(entry, true);
  Require(!finding || error, "who asks for more gets no less");
  if (!error) return 0;
  Require(!finding || entry.Get("_PID") == "1", "only systemd is believed");
  Require(IsLowerHex(error->event_id, 32), "an event id is 32 hex digits");
  Require(error->payload.starts_with("MESSAGE="), "the message comes first");
  Require(error->payload.ends_with('\n'), "a payload ends with its line");
  size_t lines = 0;
  for (const char c : error->payload) {
    Require(IsPrintableAscii(c) || c == '\n', "a payload is text");
    lines += c == '\n' ? 1 : 0;
  }
  Require(lines <= 5, "no value brings lines of its own");
  return 0;
}
