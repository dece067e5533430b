#include "probes/journal/system_journal.h"

#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

namespace telem {
namespace {

struct Free {
  void operator()(char* text) const { std::free(text); }
};

Status Check(int result, const char* what) {
  if (result < 0) return SystemError("system journal: " + std::string(what), -result);
  return {};
}

}  // namespace

void SystemJournal::Close::operator()(sd_journal* journal) const { sd_journal_close(journal); }

Result<SystemJournal> SystemJournal::Open(const std::string& directory, bool every_error) {
  SystemJournal journal;
  sd_journal* raw = nullptr;
  if (directory.empty()) {
    std::array<char, SD_ID128_STRING_MAX> text{};
    sd_id128_t boot;
    TELEM_CHECK(Check(sd_id128_get_boot(&boot), "boot id"));
    journal.boot_id_ = sd_id128_to_string(boot, text.data());
    // What users log of their own is theirs, and other machines' is not of this one.
    TELEM_CHECK(Check(sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM), "open"));
  } else {
    TELEM_CHECK(Check(sd_journal_open_directory(&raw, directory.c_str(), 0), directory.c_str()));
  }
  journal.journal_.reset(raw);
  if (directory.empty() && sd_journal_has_persistent_files(raw) <= 0 &&
      sd_journal_has_runtime_files(raw) <= 0) {
    // libsystemd passes over files that it may not read.
    return Fail(ErrorCode::kDenied,
                "system journal: there is none that this user may read (group systemd-journal)");
  }
  TELEM_CHECK(Check(sd_journal_set_data_threshold(raw, kMaxJournalField), "limit"));
  TELEM_CHECK(journal.AddMatches(every_error));
  // Before the first entry is read: from here on none is missed.
  journal.fd_ = sd_journal_get_fd(raw);
  TELEM_CHECK(Check(journal.fd_, "watch"));
  const int events = sd_journal_get_events(raw);
  TELEM_CHECK(Check(events, "watch"));
  // epoll's numbers are those of poll(2), in which it is told.
  journal.events_ = static_cast<uint32_t>(events);
  return journal;
}

// Coarser than FindInEntry(), and by the indexes of the files: what else is logged is never read.
Status SystemJournal::AddMatches(bool every_error) {
  sd_journal* raw = journal_.get();
  const auto match = [&](const std::string& field) {
    return Check(sd_journal_add_match(raw, field.data(), field.size()), "match");
  };
  if (!boot_id_.empty()) {
    TELEM_CHECK(match("_BOOT_ID=" + boot_id_));
    TELEM_CHECK(Check(sd_journal_add_conjunction(raw), "match"));
  }
  TELEM_CHECK(match("_PID=1"));
  for (const char* code : {"exited", "killed", "dumped"}) {
    TELEM_CHECK(match(std::string("EXIT_CODE=") + code));
  }
  TELEM_CHECK(Check(sd_journal_add_disjunction(raw), "match"));
  TELEM_CHECK(match("_PID=1"));
  TELEM_CHECK(match("PRIORITY=4"));
  if (!every_error) return {};
  TELEM_CHECK(Check(sd_journal_add_disjunction(raw), "match"));
  for (const char* priority : {"0", "1", "2", "3"}) {
    TELEM_CHECK(match(std::string("PRIORITY=") + priority));
  }
  return {};
}

Status SystemJournal::StartBehind(const std::string& cursor) {
  const bool is_of_this_boot = boot_id_.empty() || cursor.contains(";b=" + boot_id_ + ";");
  if (!cursor.empty() && is_of_this_boot &&
      sd_journal_seek_cursor(journal_.get(), cursor.c_str()) >= 0) {
    start_cursor_ = cursor;
    return {};
  }
  return Check(sd_journal_seek_head(journal_.get()), "seek");
}

Status SystemJournal::StartAt(WallTime time) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  // Not sd_journal_seek_tail(3): where no entry matches yet, it would never find one.
  return Check(sd_journal_seek_realtime_usec(journal_.get(), static_cast<uint64_t>(micros)),
               "seek");
}

Result<std::optional<JournalEntry>> SystemJournal::Next() {
  for (;;) {
    const int found = sd_journal_next(journal_.get());
    TELEM_CHECK(Check(found, "read"));
    if (found == 0) return std::nullopt;
    if (!start_cursor_.empty()) {
      const int is_start = sd_journal_test_cursor(journal_.get(), start_cursor_.c_str());
      start_cursor_.clear();
      if (is_start > 0) continue;
    }
    auto entry = ReadEntry();
    if (entry) return std::move(*entry);
    // A damaged entry costs itself.
    if (entry.error().err != EBADMSG) return std::unexpected(std::move(entry.error()));
  }
}

Result<JournalEntry> SystemJournal::ReadEntry() {
  sd_journal* raw = journal_.get();
  JournalEntry entry;
  char* cursor = nullptr;
  TELEM_CHECK(Check(sd_journal_get_cursor(raw, &cursor), "cursor"));
  entry.cursor = std::unique_ptr<char, Free>(cursor).get();
  uint64_t micros = 0;
  TELEM_CHECK(Check(sd_journal_get_realtime_usec(raw, &micros), "time"));
  entry.realtime = std::chrono::microseconds(micros);
  sd_id128_t boot;
  TELEM_CHECK(Check(sd_journal_get_monotonic_usec(raw, &micros, &boot), "time"));
  entry.monotonic = std::chrono::microseconds(micros);
  for (const char* name : kJournalFields) {
    const void* data = nullptr;
    size_t size = 0;
    const int found = sd_journal_get_data(raw, name, &data, &size);
    // Not there, damaged, or compressed in a way that this libsystemd does not know.
    if (found == -ENOENT || found == -EBADMSG || found == -E2BIG || found == -EPROTONOSUPPORT) {
      continue;
    }
    TELEM_CHECK(Check(found, "read"));
    std::string_view value(static_cast<const char*>(data), size);
    value.remove_prefix(std::min(value.size(), std::string_view(name).size() + 1));
    entry.fields.emplace(name, value);
  }
  return entry;
}

Status SystemJournal::CatchUp() { return Check(sd_journal_process(journal_.get()), "watch"); }

std::optional<MonotonicTime> SystemJournal::NextLook() const {
  uint64_t micros = 0;
  if (sd_journal_get_timeout(journal_.get(), &micros) < 0 || micros == UINT64_MAX) {
    return std::nullopt;
  }
  return MonotonicTime(std::chrono::microseconds(micros));
}

}  // namespace telem
