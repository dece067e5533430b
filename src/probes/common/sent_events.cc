#include "probes/common/sent_events.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "store/journal_line.h"

namespace telem {
namespace {

constexpr size_t kMaxFile = size_t{1} * 1024 * 1024;
constexpr size_t kMaxLines = 4 * SentEvents::kRemembered;  // then the file is written anew
// Its largest is a thousand records of a few lines each.
constexpr size_t kMaxJournal = size_t{16} * 1024 * 1024;

bool Contains(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

Result<UniqueFd> Lock(const std::string& path) {
  TELEM_TRY(UniqueFd lock,
            OpenAt(AT_FDCWD, path + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600));
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return SystemError("lock '" + path + "'", errno);
  }
  return lock;
}

Status Append(const std::string& path, const std::string& line) {
  TELEM_TRY(const UniqueFd file,
            OpenAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0600));
  TELEM_CHECK(WriteAll(file.get(), line));
  if (::fdatasync(file.get()) != 0) return SystemError("sync '" + path + "'", errno);
  return {};
}

}  // namespace

Result<SentEvents::Memory> SentEvents::Load() const {
  Memory memory;
  const auto text = ReadFile(path_, kMaxFile);
  if (!text && text.error().code == ErrorCode::kNotFound) return memory;
  // Too large: nobody but a vandal makes it so. What it remembers is forgotten.
  if (!text && text.error().code == ErrorCode::kTooLarge) {
    memory.lines = kMaxLines;
    return memory;
  }
  if (!text) return std::unexpected(text.error());
  for (std::string_view rest = *text; !rest.empty(); ++memory.lines) {
    std::string_view line = TakeUntil(rest, '\n');
    std::string key(TakeUntil(line, ' '));
    if (TakeUntil(line, ' ') == "?") {
      memory.begun[std::move(key)] = ParseUnsigned(line).value_or(0);
    } else {
      memory.taken_over.push_back(std::move(key));
    }
  }
  return memory;
}

Result<bool> SentEvents::Has(const std::string& key) const {
  TELEM_TRY(const Memory memory, Load());
  return Contains(memory.taken_over, key);
}

size_t SentEvents::CountInJournal(std::string_view event_id) const {
  if (event_id.empty()) return 0;
  const auto text = ReadFile(journal_, kMaxJournal);
  if (!text || !text->contains(event_id)) return 0;
  // The last state of each record of this event; later lines may not tell the event any more.
  std::map<std::string_view, std::optional<RecordState>> records;
  for (std::string_view rest = *text; !rest.empty();) {
    const auto line = ParseJournalLine(TakeUntil(rest, '\n'));
    if (line && (line->event_id == event_id || records.contains(line->record_id))) {
      records[line->record_id] = line->state;
    }
  }
  // Of what it dropped, its sender was told that it was not taken.
  return static_cast<size_t>(std::count_if(records.begin(), records.end(), [](const auto& record) {
    return record.second != RecordState::kDropped;
  }));
}

Status SentEvents::SendOnce(const std::string& key, std::string_view event_id,
                            const std::function<Status()>& send) const {
  TELEM_TRY(const UniqueFd lock, Lock(path_));
  TELEM_TRY(Memory memory, Load());
  if (Contains(memory.taken_over, key)) return {};
  if (memory.lines >= kMaxLines) {
    std::string text;
    const size_t first = memory.taken_over.size() - std::min(memory.taken_over.size(), kRemembered);
    for (size_t i = first; i < memory.taken_over.size(); ++i) text += memory.taken_over[i] + '\n';
    TELEM_CHECK(ReplaceFile(path_, text, 0600));
  }
  const size_t in_journal = CountInJournal(event_id);
  const auto begun = memory.begun.find(key);
  if (begun == memory.begun.end() || in_journal <= begun->second) {
    if (begun == memory.begun.end()) {
      std::string line = key + " ?";
      if (in_journal > 0) line += ' ' + std::to_string(in_journal);
      TELEM_CHECK(Append(path_, line + '\n'));
    }
    TELEM_CHECK(send());
  }
  return Append(path_, key + '\n');
}

}  // namespace telem
