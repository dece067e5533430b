#include "probes/kernel/report_finder.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
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

// Whether a fault's first line comes twice before anything else of it: two processors have run into
// the same, and only one of them gets to tell more.
bool IsSameFaultAgain(const RawReport& report, const Beginning& beginning) {
  return report.lines.size() == 1 && report.headlines[0].beginning == &beginning &&
         beginning.pattern.contains("nable to handle ");
}

// Whether the next line belongs to the latest: "Unable to handle … at 0000000000000018 RIP:" of
// x86_64 before 2.6.25, which names the function in a line of its own.
bool IsCutAtInstruction(const RawReport& report) {
  return !report.lines.empty() && Trim(report.lines.back()).ends_with(" RIP:");
}

// Whether `text` has a function in it as only kernels print one: "name+0x45/0x57".
bool NamesFunction(std::string_view text) {
  for (size_t at = text.find("+0x"); at != std::string_view::npos; at = text.find("+0x", at + 1)) {
    const size_t slash = text.find_first_not_of("0123456789abcdef", at + 3);
    if (slash != std::string_view::npos && text.substr(slash).starts_with("/0x")) return true;
  }
  return false;
}

// How many blanks `line` starts with.
size_t CountBlanks(std::string_view line) {
  const size_t blanks = line.find_first_not_of(" \t");
  return blanks == std::string_view::npos ? 0 : blanks;
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
  // Indented words may be an example, or the code that prints them.
  if (is_report && (!printer.indented || printer.has_frame)) {
    finished_.push_back(std::move(report));
  }
  std::string caller = std::move(printer.caller);
  printer = Printer();
  printer.caller = std::move(caller);
}

// Whether a line that is a `beginning` is a part of the report that is open already.
bool ReportFinder::Joins(const Printer& printer, const Beginning& beginning,
                         std::string_view text) const {
  if (printer.report.lines.empty()) return false;
  switch (beginning.role) {
    case Role::kTitle:
      if (printer.ended || printer.has_body) return false;
      return IsOnlyOpeners(printer.report) || IsSameFaultAgain(printer.report, beginning);
    case Role::kOpener:
    case Role::kSecond:
      return !printer.ended && !printer.has_body;
    case Role::kDetail:
    case Role::kInside:
      return !printer.ended;
    case Role::kTheEnd:
      // A kernel that went on after a report may still die of something else.
      return !printer.ended || IsConsequence(text);
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
  ++lines_fed_;
  const size_t blanks = CountBlanks(line);
  if (blanks == 0) return Take(SplitLogLine(line), lines_fed_, false);

  const std::string_view whole = line.substr(std::min(blanks, indentation_));
  LogLine split = SplitLogLine(whole);
  const bool has_prefix = split.text.data() != whole.data();
  const bool is_code = line[blanks] == '"';
  if (!has_prefix && !is_code && FindBeginning(split.text) == nullptr) {
    const LogLine inside = SplitLogLine(line.substr(blanks));
    if (FindBeginning(inside.text) != nullptr) {
      indentation_ = blanks;
      return Take(inside, lines_fed_, true);
    }
  }
  Take(split, lines_fed_, !has_prefix || indentation_ > 0);
}

void ReportFinder::Feed(const LogLine& line, uint64_t position) { Take(line, position, false); }

void ReportFinder::NoteGap(size_t lines) {
  for (Printer& printer : printers_) {
    if (!printer.ended) printer.report.lines_left_out += lines;
  }
}

std::optional<uint64_t> ReportFinder::FirstOpen() const {
  std::optional<uint64_t> first;
  for (const Printer& printer : printers_) {
    if (printer.report.lines.empty()) continue;
    first = std::min(first.value_or(printer.report.position), printer.report.position);
  }
  return first;
}

void ReportFinder::CloseAfterPause(uint64_t now_us) {
  for (Printer& printer : printers_) {
    if (printer.last_us != 0 && now_us > printer.last_us + kMaxPauseUs) Close(printer);
  }
}

void ReportFinder::Take(const LogLine& split, uint64_t position, bool indented) {
  const Beginning* beginning = FindBeginning(split.text);
  if (printers_.empty() && beginning == nullptr) return;
  if (beginning != nullptr && !indented) indentation_ = 0;

  if (split.time_us) CloseAfterPause(*split.time_us);
  Printer* printer = FindPrinter(split.caller);
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
    } else if (!Joins(*printer, *beginning, split.text)) {
      Close(*printer);
    }
    printer->guest = false;
  }
  if (printer == nullptr) return;
  if (printer->guest) {
    if (Printer* host = FindReportThatAsksOthers()) {
      Append(*host, split.text, nullptr);
      host->last_us = split.time_us.value_or(host->last_us);
    }
    return;
  }

  if (printer->report.lines.empty()) {
    if (beginning == nullptr) {
      // Nothing of this printer is open any more.
      printers_.erase(printers_.begin() + (printer - printers_.data()));
      return;
    }
    printer->report.time_us = split.time_us;
    printer->report.position = position;
    printer->indented = indented;
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
  const bool is_rest = IsCutAtInstruction(printer->report);
  Append(*printer, split.text, beginning);
  printer->last_us = split.time_us.value_or(printer->last_us);
  const bool was_body = printer->has_body;
  printer->has_body = was_body || (beginning == nullptr && !is_rest && IsBody(split.text));
  if (printer->indented && printer->report.lines.size() < kMaxLinesToFrame) {
    printer->has_frame |= beginning == nullptr &&
                          (NamesFunction(split.text) || ParseStackFrame(split.text).has_value());
  }
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
