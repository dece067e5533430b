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
  uint64_t position = 0;            // of the first line: which line of the log it is
  size_t lines_left_out = 0;        // beyond the limit
};

class ReportFinder {
 public:
  static constexpr size_t kMaxLines = 2000;            // of one report
  static constexpr size_t kMaxBytes = 256 * 1024;      // of one report
  static constexpr size_t kMaxPrinters = 32;           // whose reports are open at once
  static constexpr size_t kMaxForeignLines = 64;       // in a row, and the report is over
  static constexpr size_t kMaxLinesToPanic = 200;      // between a report and the panic it leads to
  static constexpr uint64_t kMaxPauseUs = 10'000'000;  // within a report

  // One line of the log, with or without its newline.
  void Feed(std::string_view line);

  // The log is over, or nothing has come for a while: every report is complete.
  void Finish();

  // What has become complete, in the order of first lines.
  std::vector<RawReport> TakeFinished();

 private:
  struct Printer {
    std::string caller;
    RawReport report;
    size_t bytes = 0;
    uint64_t last_us = 0;
    size_t foreign_lines = 0;       // since the last line that belongs to a report
    size_t lines_since_ending = 0;  // where an ending was seen
    bool has_body = false;
    bool ended = false;
    bool guest = false;  // prints a part of another printer's report
  };

  Printer* FindPrinter(std::string_view caller);
  Printer& AddPrinter(std::string_view caller);
  void Close(Printer& printer);
  void Append(Printer& printer, std::string_view text, const Beginning* beginning);
  Printer* FindReportThatPanics(std::string_view caller);
  Printer* FindReportThatAsksOthers();
  bool Joins(const Printer& printer, const Beginning& beginning) const;

  uint64_t position_ = 0;
  std::vector<Printer> printers_;
  std::vector<RawReport> finished_;
};

}  // namespace telem
