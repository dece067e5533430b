#include "ctl/journal_verb.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "ctl/journal_text.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "record/headers.h"

namespace telem {
namespace {

constexpr size_t kFollowShows = 10;  // as tail(1) and journalctl(1) do

std::string GroupName(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry == nullptr ? std::to_string(gid) : entry->gr_name;
}

std::string UserName(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry == nullptr ? std::to_string(uid) : entry->pw_name;
}

// What stands in the way of reading `file`: its folder, as far as that can be seen, or itself.
std::string WhoMayRead(const std::string& folder, const std::string& file) {
  struct stat st;
  if (::stat(file.c_str(), &st) != 0 && ::stat(folder.c_str(), &st) != 0) return "root may read it";
  const mode_t needed = S_ISDIR(st.st_mode) ? S_IXGRP : S_IRGRP;
  if ((st.st_mode & needed) == 0) return "root and '" + UserName(st.st_uid) + "' may read it";
  return "root and members of the group '" + GroupName(st.st_gid) + "' may read it";
}

class JournalPrinter {
 public:
  JournalPrinter(const JournalOptions& options, const Settings& settings, Output& output)
      : options_(options),
        records_folder_(settings.log_dir + "/records"),
        output_(output),
        style_{.wide = options.wide, .colors = output.has_colors()} {}

  void Begin() {
    if (options_.verbose) output_.Write(JournalHeadings(style_));
  }

  // False when nobody reads any more.
  bool Print(const JournalEntry& entry) {
    ++count_;
    if (options_.json) {
      return output_.Write(options_.include_record ? JournalJson(entry, FindPayload(entry))
                                                   : JournalJson(entry));
    }
    bool reads_on = output_.Write(JournalText(entry, style_));
    if (options_.include_record) {
      if (const auto payload = FindPayload(entry)) {
        reads_on = output_.Write(output_.is_terminal() ? TerminalBlock(*payload) : *payload);
      }
    }
    return reads_on;
  }

  void End() {
    if (options_.verbose) output_.Write("Total records: " + std::to_string(count_) + "\n");
  }

 private:
  std::optional<std::string> FindPayload(const JournalEntry& entry) {
    const auto payload = ReadPayload(records_folder_ + "/" + entry.record_id);
    if (payload) return *payload;
    output_.Complain(payload.error().code == ErrorCode::kNotFound
                         ? "no retained payload for " + entry.record_id
                         : "retained payload: " + payload.error().message);
    return std::nullopt;
  }

  static Result<std::string> ReadPayload(const std::string& path) {
    TELEM_TRY(const UniqueFd file,
              OpenAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    auto bytes = ReadAll(file.get(), kMaxPayload + 1);
    if (!bytes) return WithContext("'" + path + "'", std::move(bytes.error()));
    return bytes;
  }

  const JournalOptions& options_;
  std::string records_folder_;
  Output& output_;
  JournalStyle style_;
  size_t count_ = 0;
};

// The records asked for, or the latest `limit` of them. False when nobody reads any more.
bool PrintSelected(const JournalReader& reader, const JournalOptions& options,
                   std::optional<size_t> limit, JournalPrinter& printer) {
  std::vector<const JournalEntry*> selected;
  for (const JournalEntry& entry : reader.entries()) {
    if (options.selection.Matches(entry)) selected.push_back(&entry);
  }
  const size_t skipped = limit && *limit < selected.size() ? selected.size() - *limit : 0;
  for (size_t i = skipped; i < selected.size(); ++i) {
    if (!printer.Print(*selected[i])) return false;
  }
  return true;
}

// Wakes up when something happens to the journal, or when nobody reads the output any more.
class JournalWatch {
 public:
  enum class Event { kChanged, kReaderLeft };

  Status Start(const std::string& folder) {
    folder_ = folder;
    changes_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!changes_.valid()) return SystemError("inotify", errno);
    // The folder, not the file: trimming puts a new file in its place.
    const uint32_t events = IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVE_SELF;
    if (::inotify_add_watch(changes_.get(), folder.c_str(), events | IN_ONLYDIR) < 0) {
      return SystemError("watch '" + folder + "'", errno);
    }
    return {};
  }

  Result<Event> Wait() {
    // Stdout is watched for its reader's going away, which poll reports unasked.
    std::array<pollfd, 2> watched = {pollfd{changes_.get(), POLLIN, 0},
                                     pollfd{STDOUT_FILENO, 0, 0}};
    while (::poll(watched.data(), watched.size(), -1) < 0) {
      if (errno != EINTR) return SystemError("poll", errno);
    }
    if (watched[1].revents != 0) return Event::kReaderLeft;
    return TakeChanges();
  }

 private:
  Result<Event> TakeChanges() {
    alignas(inotify_event) std::array<char, 16'384> buffer;
    while (true) {
      const ssize_t size = ::read(changes_.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return Event::kChanged;
      for (size_t at = 0; at < static_cast<size_t>(size);) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        if ((event->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0) {
          return Fail(ErrorCode::kNotFound, "'" + folder_ + "' was removed");
        }
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

  std::string folder_;
  UniqueFd changes_;
};

// Goes on until the reader leaves, or a signal ends the program.
Status Follow(const JournalOptions& options, const Settings& settings, JournalReader& reader,
              JournalPrinter& printer, Output& output) {
  JournalWatch watch;
  TELEM_CHECK(watch.Start(settings.log_dir));
  const auto read_new = [&](const JournalReader::Changed& changed) -> Status {
    auto read = reader.ReadNew(changed);
    // No journal yet, or none any more: one may come.
    if (!read && read.error().code == ErrorCode::kNotFound) return {};
    return read;
  };

  TELEM_CHECK(read_new([](const JournalEntry&, bool) {}));
  printer.Begin();
  bool reads_on = PrintSelected(reader, options, options.latest.value_or(kFollowShows), printer);
  // Without states in sight, news of a record that was shown would look like the record again.
  const bool shows_news = options.wide || options.json || options.selection.state.has_value();
  while (output.Flush() && reads_on) {
    TELEM_TRY(const auto event, watch.Wait());
    if (event == JournalWatch::Event::kReaderLeft) break;
    TELEM_CHECK(read_new([&](const JournalEntry& entry, bool is_new) {
      if ((is_new || shows_news) && options.selection.Matches(entry)) {
        reads_on = printer.Print(entry) && reads_on;
      }
    }));
  }
  return {};
}

Status Show(const JournalOptions& options, const std::string& path, JournalReader& reader,
            JournalPrinter& printer, Output& output) {
  const auto read = reader.ReadNew([](const JournalEntry&, bool) {});
  if (!read) {
    if (read.error().code != ErrorCode::kNotFound) return read;
    output.Complain("no journal yet at '" + path + "'");
  }
  printer.Begin();
  if (PrintSelected(reader, options, options.latest, printer)) printer.End();
  return {};
}

}  // namespace

int RunJournal(const JournalOptions& options, const Settings& settings) {
  const std::string path = settings.log_dir + "/journal";
  Output output(options.follow ? Output::Paging::kNever : Output::Paging::kOnTerminal);
  JournalReader reader(path);
  JournalPrinter printer(options, settings, output);
  auto done = options.follow ? Follow(options, settings, reader, printer, output)
                             : Show(options, path, reader, printer, output);
  if (!done) {
    std::string message = std::move(done.error().message);
    if (done.error().code == ErrorCode::kDenied) {
      message += " (" + WhoMayRead(settings.log_dir, path) + ")";
    }
    output.Complain(message);
    output.Finish();
    return 1;
  }
  return output.Finish();
}

}  // namespace telem
