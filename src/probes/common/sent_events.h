// Remembers the events whose records telemd has taken over, so that no evidence is reported twice:
// not after a restart, not after a crash between telemd's answer and the removal of the evidence,
// and not where two probes see the same report.
//
// A file of lines, shared by all probes: `KEY ?` before a record is sent, `KEY` when it was taken
// over. Where only the first is there, telemd's journal knows: it has one record of the event more
// than before. Where it had some already (`KEY ? 1`), they were of other aspects of the event.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace telem {

class SentEvents {
 public:
  static constexpr size_t kRemembered = 256;  // events; more than any source keeps at once

  // `path`: the file; it and PATH.lock are made where they are missing. `journal`: telemd's.
  SentEvents(std::string path, std::string journal)
      : path_(std::move(path)), journal_(std::move(journal)) {}

  // Calls `send` unless the record of `key` was taken over before. `key` has no blank; `event_id`
  // is what telemd's journal knows it by. Success: telemd has it.
  Status SendOnce(const std::string& key, std::string_view event_id,
                  const std::function<Status()>& send) const;

  // Whether the record of `key` was taken over.
  Result<bool> Has(const std::string& key) const;
  // How many records of this event telemd's journal has; those that it dropped do not count.
  size_t CountInJournal(std::string_view event_id) const;

 private:
  struct Memory {
    std::vector<std::string> taken_over;  // oldest first
    std::map<std::string, size_t> begun;  // how many of the event the journal had then
    size_t lines = 0;
  };
  Result<Memory> Load() const;

  std::string path_;
  std::string journal_;
};

}  // namespace telem
