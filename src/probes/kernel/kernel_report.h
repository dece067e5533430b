// One report of a kernel, taken apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/kernel/report_finder.h"

namespace telem {

struct ReportFrame {
  std::string function;
  std::string module;  // empty: the kernel itself
  std::string offset;  // "+0x45/0x57", may be empty
  bool certain = true;
};

// One stack of a report, and what was said about it.
struct ReportStack {
  enum class Label : uint8_t {
    kMain,       // where it happened, or what the processor or task was doing
    kInterrupt,  // where a lock is taken in an interrupt
    kHistory,    // where memory was allocated or freed, where locks were taken before
    kPanic,      // of the panic that followed
  };
  Label label = Label::kMain;
  std::optional<size_t> instruction;  // index in `frames` of where the processor was
  std::vector<ReportFrame> frames;
};

struct KernelReport {
  ReportKind kind = ReportKind::kBug;
  Blame blame = Blame::kFirst;
  bool panicked = false;
  std::string reason;   // the title line
  std::string panic;    // what the panic that followed said
  std::string version;  // "4.0.5-300.fc22.x86_64 #1"
  std::string tainted;  // "Not tainted", "Tainted: G W"
  std::string modules;  // names, separated by blanks
  std::string process;
  std::string pid;
  std::string cpu;
  std::string hardware;
  std::string guilty;   // empty: none found
  std::string handler;  // whom the kernel had called, where a report says so
  // Where the locks that a report is about were taken: first the one that was about to be, then the
  // one that was held.
  std::vector<std::string> lock_sites;
  std::vector<std::pair<std::string, std::string>> registers;  // as printed
  std::vector<ReportStack> stacks;
  size_t main_stack = 0;  // index of the one that belongs to the reason, when there are any
  size_t lines_left_out = 0;
};

// Takes `raw` apart. Never fails: what is not there stays empty.
KernelReport ReadKernelReport(const RawReport& raw);

}  // namespace telem
