// Finds the reports in a kernel log that is fed line by line.
//
// Kernels print reports from several processors and tasks at once. Where the lines say who printed
// them ("[T1234]"), each printer's lines are put together on their own; where they do not, all
// lines are one printer's.
//
//   ReportFinder finder;
//   for (line : log) { finder.Feed(line); for (RawReport& raw : finder.TakeFinished()) … }
//   finder.Finish();
//
// Memory is bounded whatever comes in: so many open reports, so many bytes each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/kernel/log_line.h"
#include "probes/kernel/report_rules.h"

namespace telem {

// A title of a report: the line, and what it begins.
struct Headline {
  size_t line = 0;
  const Beginning* beginning = nullptr;
};

struct RawReport {
  std::vector<std::string> lines;  // without their log prefix
  std::vector<Headline> headlines;
  std::optional<uint64_t> time_us;  // of the first line
  uint64_t position = 0;            // of the first line, as its feeder counts
  size_t lines_left_out = 0;        // beyond the limit, or lost by the log
};

class ReportFinder {
 public:
  static constexpr size_t kMaxLines = 2000;            // of one report
  static constexpr size_t kMaxBytes = 256 * 1024;      // of one report
  static constexpr size_t kMaxPrinters = 32;           // whose reports are open at once
  static constexpr size_t kMaxForeignLines = 64;       // in a row, and the report is over
  static constexpr size_t kMaxLinesToPanic = 200;      // between a report and the panic it leads to
  static constexpr size_t kMaxLinesToFrame = 100;      // from the first line, where it is indented
  static constexpr uint64_t kMaxPauseUs = 10'000'000;  // within a report

  // One line of a text, with or without its newline; its position is how many were fed. A report
  // may be indented as a whole, as in what people write about it.
  void Feed(std::string_view line);
  // One line, and where it stands in the log.
  void Feed(const LogLine& line, uint64_t position);

  // The log lacks `lines` lines here: the reports that are open have holes.
  void NoteGap(size_t lines);

  // The log is over, or nothing has come for a while: every report is complete.
  void Finish();

  // The position of the first report that is not complete yet.
  std::optional<uint64_t> FirstOpen() const;

  // What has become complete, in the order of first lines.
  std::vector<RawReport> TakeFinished();

 private:
  struct Printer {
    std::string caller;
    RawReport report;
    size_t bytes = 0;
    uint64_t last_us = 0;           // of the last line of its report
    size_t foreign_lines = 0;       // since the last line that belongs to a report
    size_t lines_since_ending = 0;  // where an ending was seen
    bool has_body = false;
    bool ended = false;
    bool guest = false;  // prints a part of another printer's report
    bool indented = false;
    bool has_frame = false;  // where it is indented: names a function soon enough
  };

  // `indented`: the line was, and stands here without what all of its report is indented by.
  void Take(const LogLine& line, uint64_t position, bool indented);
  Printer* FindPrinter(std::string_view caller);
  Printer& AddPrinter(std::string_view caller);
  void Close(Printer& printer);
  void CloseAfterPause(uint64_t now_us);
  void Append(Printer& printer, std::string_view text, const Beginning* beginning);
  Printer* FindReportThatPanics(std::string_view caller);
  Printer* FindReportThatAsksOthers();
  bool Joins(const Printer& printer, const Beginning& beginning, std::string_view text) const;

  uint64_t lines_fed_ = 0;
  size_t indentation_ = 0;  // of the latest report of a text
  std::vector<Printer> printers_;
  std::vector<RawReport> finished_;
};

}  // namespace telem
