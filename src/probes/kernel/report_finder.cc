#include "probes/kernel/report_finder.h"

#include <algorithm>
#include <utility>

#include "probes/kernel/log_line.h"
#include "probes/kernel/stack_frame.h"

namespace telem {
namespace {

constexpr std::string_view kAsksOthers = "Sending NMI from CPU";
constexpr std::string_view kAnswer = "NMI backtrace for cpu";

// "==========================================", which KASAN and its siblings end with.
bool IsRuler(std::string_view text) {
  constexpr size_t kShortestRuler = 40;
  return text.size() >= kShortestRuler && text.find_first_not_of('=') == std::string_view::npos;
}

// Whether `text` may belong to a report, for want of better knowledge: registers, dumps, lists of
// locks and pages are indented, start with a word and a colon, or with an address.
bool LooksLikeReport(std::string_view text) {
  constexpr size_t kLongestLabel = 24;
  if (text.empty() || text[0] == ' ' || text[0] == '\t' || text[0] == '-' || text[0] == '=' ||
      text[0] == '[' || text[0] == '#' || text[0] == '>') {
    return true;
  }
  if (text.substr(0, kLongestLabel).find(':') != std::string_view::npos) return true;
  return IsBody(text);
}

// Panics that follow from what was reported before, perhaps by another printer.
bool IsConsequence(std::string_view text) {
  constexpr std::string_view kConsequences[] = {
      "Fatal exception",
      "panic_on_",
      "hung_task: ",
      "softlockup: ",
      "Hard LOCKUP",
      "RCU Stall",
      "Fatal Machine",
      "Fatal machine",
      "Aiee, killing",
      "Machine halted",
      "Attempted to kill",
      "System is deadlocked",
      "Out of memory",
      "fatal exception",
      "stack-protector",
      "kernel stack overflow",
      "Unable to mount root fs",
      "Oops",
      "Asynchronous SError",
  };
  return std::any_of(std::begin(kConsequences), std::end(kConsequences),
                     [&](std::string_view words) { return text.contains(words); });
}

bool IsOnlyOpeners(const RawReport& report) {
  return std::all_of(report.headlines.begin(), report.headlines.end(), [](const Headline& line) {
    return line.beginning->role == Role::kOpener || line.beginning->role == Role::kDetail;
  });
}

}  // namespace

ReportFinder::Printer* ReportFinder::FindPrinter(std::string_view caller) {
  for (Printer& printer : printers_) {
    if (printer.caller == caller) return &printer;
  }
  return nullptr;
}

ReportFinder::Printer& ReportFinder::AddPrinter(std::string_view caller) {
  if (printers_.size() == kMaxPrinters) {
    // The one that has been silent the longest.
    const auto oldest =
        std::min_element(printers_.begin(), printers_.end(),
                         [](const Printer& a, const Printer& b) { return a.last_us < b.last_us; });
    Close(*oldest);
    printers_.erase(oldest);
  }
  Printer printer;
  printer.caller = caller;
  printers_.push_back(std::move(printer));
  return printers_.back();
}

void ReportFinder::Close(Printer& printer) {
  RawReport& report = printer.report;
  const bool is_report =
      std::any_of(report.headlines.begin(), report.headlines.end(), [&](const Headline& headline) {
        const Beginning& beginning = *headline.beginning;
        const bool needs_body = beginning.needs_body || beginning.role == Role::kDetail;
        return beginning.role != Role::kOpener && (printer.has_body || !needs_body);
      });
  if (is_report) finished_.push_back(std::move(report));
  std::string caller = std::move(printer.caller);
  printer = Printer();
  printer.caller = std::move(caller);
}

// Whether a line that is a `beginning` is a part of the report that is open already.
bool ReportFinder::Joins(const Printer& printer, const Beginning& beginning) const {
  if (printer.report.lines.empty()) return false;
  switch (beginning.role) {
    case Role::kTitle:
      return !printer.ended && !printer.has_body && IsOnlyOpeners(printer.report);
    case Role::kOpener:
    case Role::kSecond:
      return !printer.ended && !printer.has_body;
    case Role::kDetail:
    case Role::kInside:
      return !printer.ended;
    case Role::kTheEnd:
      return true;
  }
  return false;
}

void ReportFinder::Append(Printer& printer, std::string_view text, const Beginning* beginning) {
  RawReport& report = printer.report;
  if (report.lines.size() >= kMaxLines || printer.bytes + text.size() > kMaxBytes) {
    ++report.lines_left_out;
    return;
  }
  if (beginning != nullptr) report.headlines.push_back({report.lines.size(), beginning});
  report.lines.emplace_back(text);
  printer.bytes += text.size();
}

ReportFinder::Printer* ReportFinder::FindReportThatAsksOthers() {
  for (auto printer = printers_.rbegin(); printer != printers_.rend(); ++printer) {
    if (printer->report.lines.empty()) continue;
    for (const std::string& line : printer->report.lines) {
      if (line.starts_with(kAsksOthers)) return &*printer;
    }
  }
  return nullptr;
}

ReportFinder::Printer* ReportFinder::FindReportThatPanics(std::string_view caller) {
  Printer* latest = nullptr;
  for (Printer& printer : printers_) {
    if (printer.report.lines.empty() || printer.caller == caller) continue;
    if (latest == nullptr || printer.report.position > latest->report.position) latest = &printer;
  }
  return latest;
}

void ReportFinder::Feed(std::string_view line) {
  ++position_;
  const LogLine split = SplitLogLine(line);
  const Beginning* beginning = FindBeginning(split.text);
  if (printers_.empty() && beginning == nullptr) return;

  Printer* printer = FindPrinter(split.caller);
  if (printer != nullptr && split.time_us && *split.time_us > printer->last_us + kMaxPauseUs &&
      printer->last_us != 0) {
    Close(*printer);
  }
  if (beginning != nullptr && beginning->role == Role::kTheEnd &&
      (printer == nullptr || printer->report.lines.empty()) && IsConsequence(split.text)) {
    if (Printer* other = FindReportThatPanics(split.caller)) {
      Append(*other, split.text, beginning);
      return;
    }
  }
  if (printer == nullptr && beginning == nullptr && split.text.starts_with(kAnswer) &&
      FindReportThatAsksOthers() != nullptr) {
    AddPrinter(split.caller).guest = true;
    printer = FindPrinter(split.caller);
  }
  if (beginning != nullptr) {
    if (printer == nullptr) {
      printer = &AddPrinter(split.caller);
    } else if (!Joins(*printer, *beginning)) {
      Close(*printer);
    }
    printer->guest = false;
  }
  if (printer == nullptr) return;
  if (split.time_us) printer->last_us = *split.time_us;
  if (printer->guest) {
    if (Printer* host = FindReportThatAsksOthers()) Append(*host, split.text, nullptr);
    return;
  }

  if (printer->report.lines.empty()) {
    if (beginning == nullptr) {
      // Nothing of this printer is open any more.
      printers_.erase(printers_.begin() + (printer - printers_.data()));
      return;
    }
    printer->report.time_us = split.time_us;
    printer->report.position = position_;
  }
  if (printer->ended && beginning == nullptr) {
    if (++printer->lines_since_ending > kMaxLinesToPanic) {
      Close(*printer);
    }
    return;
  }
  if (printer->ended) {  // and now the panic
    printer->ended = false;
    printer->lines_since_ending = 0;
  }
  Append(*printer, split.text, beginning);
  const bool was_body = printer->has_body;
  printer->has_body = was_body || (beginning == nullptr && IsBody(split.text));
  printer->foreign_lines = LooksLikeReport(split.text) ? 0 : printer->foreign_lines + 1;
  if (IsEnding(split.text) || (was_body && IsRuler(split.text)) ||
      printer->foreign_lines > kMaxForeignLines) {
    printer->ended = true;
    printer->lines_since_ending = 0;
  }
}

void ReportFinder::Finish() {
  for (Printer& printer : printers_) Close(printer);
  printers_.clear();
}

std::vector<RawReport> ReportFinder::TakeFinished() {
  std::sort(finished_.begin(), finished_.end(),
            [](const RawReport& a, const RawReport& b) { return a.position < b.position; });
  return std::exchange(finished_, {});
}

}  // namespace telem
