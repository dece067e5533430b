#include "probes/kernel/pstore_dump.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "probes/common/event_id.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/log_line.h"
#include "probes/kernel/pstore_file.h"
#include "probes/kernel/report_finder.h"

namespace telem {
namespace {

constexpr size_t kMaxText = size_t{1} * 1024 * 1024;  // of a part; the largest backends hold 64 KiB
// The kernel writes all parts of a dump at once; firmware takes its time for each.
constexpr std::chrono::seconds kLongestDump{60};

struct Piece {
  PstoreFile file;
  std::string backend;
  std::string reason;
  uint64_t count = 0;
  uint64_t part = 0;
  std::chrono::sys_seconds time;
  std::string text;
  std::string flaw;
};

Piece Understand(PstoreFile file) {
  Piece piece;
  piece.file = std::move(file);
  piece.time = piece.file.modified;
  const auto name = ParsePstoreName(piece.file.name);
  if (!name) {
    piece.flaw = "it has no name of pstore's";
    return piece;
  }
  piece.backend = name->backend;
  piece.time = name->time.value_or(piece.time);
  std::string text = std::exchange(piece.file.bytes, {});
  if (name->is_compressed) {
    auto plain = Decompress(text, kMaxText);
    if (!plain) {
      piece.flaw = plain.error().message;
      return piece;
    }
    text = std::move(*plain);
  }
  std::string_view rest = text;
  if (!name->is_console) {
    if (const auto header = TakePstoreHeader(rest)) {
      piece.reason = header->reason;
      piece.count = header->count;
      piece.part = header->part;
    } else {
      piece.flaw = "its first line does not say which part of which dump it is";
    }
  }
  piece.text = rest;
  return piece;
}

bool Belongs(const PstoreDump& dump, const Piece& piece) {
  const bool has_part = std::any_of(dump.parts.begin(), dump.parts.end(),
                                    [&](const auto& part) { return part.number == piece.part; });
  return !has_part && piece.time - dump.time <= kLongestDump;
}

void NoteMissingParts(PstoreDump& dump) {
  uint64_t wanted = 1;
  for (auto part = dump.parts.rbegin(); part != dump.parts.rend(); ++part) {
    if (part->number != wanted) {
      std::string flaw = "part ";
      AppendUnsigned(flaw, wanted);
      if (part->number - wanted > 1) {
        flaw += " to ";
        AppendUnsigned(flaw, part->number - 1);
      }
      dump.flaws.push_back(flaw + " is missing");
    }
    wanted = part->number + 1;
  }
}

struct DumpLog {
  std::vector<RawReport> reports;
  std::optional<uint64_t> last_us;  // of its last line that has a time
};

DumpLog ReadLogOf(const PstoreDump& dump) {
  ReportFinder finder;
  DumpLog log;
  const auto feed = [&](const std::string& line) {
    finder.Feed(line);
    if (const auto time_us = SplitLogLine(line).time_us) log.last_us = time_us;
  };
  std::string torn;  // a line that goes on in the next part
  std::optional<uint64_t> before;
  for (const PstoreDump::Part& part : dump.parts) {
    if (before && *before != part.number + 1) {
      if (!torn.empty()) feed(std::exchange(torn, {}));
      finder.NoteGap(1);
    }
    before = part.number;
    for (std::string_view rest = part.text; !rest.empty();) {
      const size_t newline = rest.find('\n');
      torn += TakeUntil(rest, '\n');
      if (newline != std::string_view::npos) feed(std::exchange(torn, {}));
    }
  }
  if (!torn.empty()) feed(torn);
  finder.Finish();
  log.reports = finder.TakeFinished();
  return log;
}

// The dump is of the moment of the crash, and its last line too; a report in it may be of hours
// before.
std::chrono::sys_seconds WhenWas(const RawReport& raw, const DumpLog& log, const PstoreDump& dump) {
  constexpr uint64_t kSecond = 1'000'000;
  if (!raw.time_us || !log.last_us || *raw.time_us > *log.last_us) return dump.time;
  return dump.time - std::chrono::seconds((*log.last_us - *raw.time_us) / kSecond);
}

std::string IdOf(std::string_view kind, const PstoreDump& dump, std::string_view boot_id) {
  std::string id = dump.unreadable.empty() ? dump.reason : dump.unreadable;
  AppendUnsigned(id, dump.count);
  std::string time;
  AppendSigned(time, dump.time.time_since_epoch().count());
  return EventIdOf(kind, {{std::string(boot_id), id, time}});
}

ProbeRecord MakeBareRecord(const PstoreDump& dump, std::string_view boot_id) {
  const bool panicked = dump.reason == "Panic";
  const std::string reason = dump.unreadable.empty()
                                 ? dump.reason + ", of which no report was kept"
                                 : "the log of a crash, which cannot be read: " + dump.unreadable;
  ProbeRecord record;
  record.classification = panicked ? "kernel/panic" : "kernel/bug";
  record.severity = 4;
  record.payload = "Crash Report:\nReason: " + reason + "\nBacktrace :\n";
  record.event_id = IdOf("kernel dump", dump, boot_id);
  return record;
}

}  // namespace

std::vector<PstoreDump> JoinDumps(std::vector<PstoreFile> files) {
  std::vector<Piece> pieces;
  pieces.reserve(files.size());
  for (PstoreFile& file : files) pieces.push_back(Understand(std::move(file)));
  const auto key = [](const Piece& piece) {
    return std::tie(piece.time, piece.backend, piece.count, piece.reason, piece.file.name);
  };
  std::sort(pieces.begin(), pieces.end(),
            [&](const Piece& a, const Piece& b) { return key(a) < key(b); });

  std::vector<PstoreDump> dumps;
  std::map<std::tuple<std::string, std::string, uint64_t>, size_t> latest;  // index in `dumps`
  for (Piece& piece : pieces) {
    // What has no number is whole by itself.
    const bool is_part = piece.part > 0;
    const auto which = std::tuple(piece.backend, piece.reason, piece.count);
    const auto found = is_part ? latest.find(which) : latest.end();
    if (found == latest.end() || !Belongs(dumps[found->second], piece)) {
      dumps.push_back({.reason = piece.reason,
                       .count = piece.count,
                       .time = piece.time,
                       .parts = {},
                       .paths = {},
                       .flaws = {},
                       .unreadable = piece.flaw});
      if (is_part) latest[which] = dumps.size() - 1;
    }
    PstoreDump& dump = is_part ? dumps[latest[which]] : dumps.back();
    dump.paths.push_back(piece.file.path);
    if (!piece.flaw.empty()) dump.flaws.push_back("'" + piece.file.path + "': " + piece.flaw);
    if (!piece.text.empty()) {
      dump.parts.push_back({.number = piece.part, .text = std::move(piece.text)});
    }
  }
  for (PstoreDump& dump : dumps) {
    std::sort(dump.parts.begin(), dump.parts.end(),
              [](const auto& a, const auto& b) { return a.number > b.number; });
    if (!dump.parts.empty() && dump.parts.back().number > 0) NoteMissingParts(dump);
  }
  return dumps;
}

std::vector<ProbeRecord> MakeDumpRecords(
    const PstoreDump& dump, std::string_view boot_id,
    const std::function<bool(std::chrono::sys_seconds)>& is_unwanted) {
  const DumpLog log = ReadLogOf(dump);
  const auto is_wanted = [&](std::chrono::sys_seconds when) {
    return !is_unwanted || !is_unwanted(when);
  };
  std::vector<ProbeRecord> records;
  for (const RawReport& raw : log.reports) {
    if (is_wanted(WhenWas(raw, log, dump))) records.push_back(MakeKernelRecord(raw, boot_id));
  }
  const bool says_crash =
      dump.reason == "Panic" || dump.reason == "Oops" || !dump.unreadable.empty();
  if (log.reports.empty() && says_crash && is_wanted(dump.time)) {
    records.push_back(MakeBareRecord(dump, boot_id));
  }
  for (ProbeRecord& record : records) {
    for (const std::string& flaw : dump.flaws) {
      // Paths say where it lay on this machine, and nothing about the crash.
      if (!flaw.starts_with('\'')) record.payload += "Left out : " + flaw + "\n";
    }
  }
  return records;
}

std::string IdOfDump(const PstoreDump& dump, std::string_view boot_id) {
  return IdOf("kernel dump given up", dump, boot_id);
}

void DropWhatPanicsTell(std::vector<ProbeRecord>& records) {
  std::set<std::string> panics;
  for (const ProbeRecord& record : records) {
    if (!record.aspect.empty()) panics.insert(record.event_id);
  }
  std::erase_if(records, [&](const ProbeRecord& record) {
    return record.aspect.empty() && panics.contains(record.event_id);
  });
}

}  // namespace telem
