#include "probes/kernel/report_payload.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "probes/common/masking.h"
#include "probes/kernel/plumbing.h"
#include "probes/kernel/stack_frame.h"
#include "record/signature.h"

namespace telem {
namespace {

constexpr size_t kMaxReason = 1024;
constexpr size_t kMaxField = 512;
constexpr size_t kMaxModules = 8192;
// Where the frames stop, so that all of it stays below the 64 KiB that are promised.
constexpr size_t kMaxWithFrames = size_t{60} * 1024;

// Registers whose values say something about the processor's state and nothing about anyone's data.
// All others are only zero or not.
constexpr std::string_view kStateRegisters[] = {
    "CS",  "DS",     "ES",  "SS",  "CR0",    "CR4",   "EFLAGS", "ORIG_RAX", "DR6",  "DR7",
    "psr", "pstate", "PSR", "MSR", "status", "cause", "Status", "Cause",    "TRAP",
};

void AppendLine(std::string& out, std::string_view label, std::string_view value, size_t limit) {
  if (value.empty()) return;
  out += label;
  out += MaskPersonalData(value.substr(0, limit));
  out += '\n';
}

// As AppendLine(), for what is no name of the kernel's own: a function may be called like the
// machine.
void AppendText(std::string& out, std::string_view label, std::string_view value, size_t limit) {
  if (value.empty()) return;
  out += label;
  out += MaskPersonalData(value.substr(0, limit), OwnHostName());
  out += '\n';
}

void AppendRegisters(std::string& out, const KernelReport& report) {
  if (report.registers.empty()) return;
  out += "Registers :";
  for (const auto& [name, value] : report.registers) {
    out += ' ';
    out += PrintableAscii(name, kMaxField);
    out += ": ";
    if (std::find(std::begin(kStateRegisters), std::end(kStateRegisters), name) !=
        std::end(kStateRegisters)) {
      out += value;
    } else {
      out += value.find_first_not_of('0') == std::string::npos ? "Zero" : "Non-zero";
    }
  }
  out += '\n';
}

void AppendFrame(std::string& out, size_t number, const ReportFrame& frame) {
  out += '#';
  AppendUnsigned(out, number);
  out += frame.certain ? " " : " ? ";
  out += frame.function;
  out += " - [";
  out += frame.module.empty() ? std::string_view("kernel") : std::string_view(frame.module);
  out += ']';
  if (frame.certain && !frame.offset.empty()) {
    out += ' ';
    out += frame.offset;
  }
  out += '\n';
}

// Without the words that hold a digit: addresses, numbers of devices and processes, counts.
std::string ReasonWithoutNumbers(std::string_view reason) {
  const std::string masked = MaskPersonalData(reason.substr(0, kMaxReason));
  std::string out;
  for (std::string_view rest = masked; !rest.empty();) {
    const std::string_view word = TakeUntil(rest, ' ');
    if (word.empty() || word.find_first_of("0123456789") != std::string_view::npos) continue;
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

}  // namespace

std::string WritePayload(const KernelReport& report) {
  std::string out = "Crash Report:\n";
  AppendText(out, "Reason: ", Trim(report.reason), kMaxReason);
  AppendText(out, "Panic : ", report.panic, kMaxReason);
  AppendLine(out, "Kernel Version : ", report.version, kMaxField);
  AppendLine(out, "Tainted : ", report.tainted, kMaxField);
  AppendLine(out, "Modules : ", report.modules, kMaxModules);
  if (!report.process.empty()) {
    std::string process = report.process;
    if (!report.pid.empty()) process += " PID " + report.pid;
    if (!report.cpu.empty()) process += " CPU " + report.cpu;
    AppendText(out, "Process : ", process, kMaxField);
  }
  AppendText(out, "Hardware : ", report.hardware, kMaxField);
  AppendLine(out, "Guilty : ", report.guilty, kMaxField);
  out += "Signature : " + SignatureOf(report) + '\n';
  AppendRegisters(out, report);
  out += "Backtrace :\n";
  if (!report.stacks.empty()) {
    const auto& frames = report.stacks[report.main_stack].frames;
    size_t number = 0;
    while (number < frames.size() && out.size() < kMaxWithFrames) {
      AppendFrame(out, number + 1, frames[number]);
      ++number;
    }
    if (number < frames.size()) {
      out += "Left out : ";
      AppendUnsigned(out, frames.size() - number);
      out += " frames\n";
    }
  }
  if (report.lines_left_out > 0) {
    out += "Left out : ";
    AppendUnsigned(out, report.lines_left_out);
    out += " lines\n";
  }
  return out;
}

std::string SignatureOf(const KernelReport& report) {
  constexpr size_t kMaxParts = 4;  // the kind, the guilty function and who called it
  std::vector<std::string> parts = {"kernel/" + std::string(InfoOf(report.kind).name)};
  if (!report.guilty.empty()) parts.push_back(report.guilty);
  if (!report.stacks.empty()) {
    bool reached = false;
    for (const ReportFrame& frame : report.stacks[report.main_stack].frames) {
      const std::string name(PlainName(frame.function));
      if (reached && frame.certain && !IsPlumbing(name) && parts.back() != name &&
          parts.size() < kMaxParts) {
        parts.push_back(name);
      }
      reached = reached || name == report.guilty;
    }
  }
  if (parts.size() == 1) parts.push_back(ReasonWithoutNumbers(report.reason));
  return SignatureOf("s1", parts);
}

}  // namespace telem
