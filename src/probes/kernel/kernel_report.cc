#include "probes/kernel/kernel_report.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/text.h"
#include "probes/kernel/guilty.h"
#include "probes/kernel/stack_frame.h"

namespace telem {
namespace {

constexpr size_t kMaxFrames = 256;  // of one stack
constexpr size_t kMaxStacks = 64;

bool StartsWithAny(std::string_view text, std::span<const std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(),
                     [&](std::string_view start) { return text.starts_with(start); });
}

bool ContainsAny(std::string_view text, std::span<const std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.contains(word); });
}

// Lines behind which a stack of something else, something earlier, stands.
constexpr std::string_view kHistoryWords[] = {
    "llocated by task",
    "reed by task",
    "Last potentially related work",
    "Last call_rcu",
    "Second to last",
    "Uninit was ",
    "Local variable",
    "llocated in ",
    "Freed in ",
    "existing dependency",
    "state was registered at:",
    "-> #",
    "stack dump when the lock was acquired",
    "dependencies between",
    "kthread stack dump",
    "write to 0x",
    "read to 0x",
    "page last allocated",
    "page last free",
    "page_owner tracks",
    "raw_event_ioctl",
    "Reported by",
};

// Lines behind which a stack stands.
constexpr std::string_view kStackHeaders[] = {
    "Call Trace:", "Call trace:", "stack backtrace:", "backtrace:", "Backtrace:",
};

// Lines that name the function at the instruction pointer.
constexpr std::string_view kInstructionLabels[] = {
    "RIP: ", "EIP: ",       "EIP is at ", "IP: ",   "PC is at ", "pc : ", "epc : ",    "epc   : ",
    "NIP ",  "Krnl PSW : ", "ERA: ",      "TPC: <", "pc is at ", "PC: ",  "IAOQ[0]: ",
};
// Those that name its caller.
constexpr std::string_view kCallerLabels[] = {
    "LR is at ", "lr : ", " ra : ", "ra    : ", "LR ", "ra is at ", "RPC: <", " RP(r2): ",
};

// The first "func+0x1/0x2" anywhere in `text`.
std::optional<StackFrame> FindFunction(std::string_view text) {
  constexpr std::string_view kOffset = "+0x";
  for (size_t plus = text.find(kOffset); plus != std::string_view::npos;
       plus = text.find(kOffset, plus + 1)) {
    size_t start = plus;
    while (start > 0 && !std::string_view(" (<>]:").contains(text[start - 1])) --start;
    std::string_view rest = text.substr(start);
    if (auto found = TakeFunction(rest)) return found;
  }
  if (const size_t brace = text.find('{'); brace != std::string_view::npos) {
    std::string_view rest = text.substr(brace);
    return TakeFunction(rest);
  }
  return std::nullopt;
}

// "RIP: 0010:tipc_connect (net/tipc/socket.c:2570)", "lr : tipc_connect (net/tipc/socket.c:2570)"
std::optional<StackFrame> FindDecodedFunction(std::string_view text) {
  const size_t places = text.find(" (");
  if (places == std::string_view::npos) return std::nullopt;
  size_t start = places;
  while (start > 0 && text[start - 1] != ' ' && text[start - 1] != ':') --start;
  return ParseStackFrame(text.substr(start));
}

// "Krnl PSW : 0704e00180000000 000000003e9cccc4 (tape_open+0x2f4": a console of 80 columns goes on
// in the next line.
std::optional<StackFrame> FindCutFunction(std::string_view text) {
  const size_t bracket = text.rfind('(');
  if (bracket == std::string_view::npos) return std::nullopt;
  const std::string_view cut = Trim(text.substr(bracket + 1));
  const size_t plus = cut.find("+0x");
  if (plus == std::string_view::npos ||
      cut.find_first_not_of("0123456789abcdef/x", plus + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  // With the rest in place it is a function like any other, or none.
  const std::string_view name = cut.substr(0, plus);
  const std::string whole = std::string(name) + "+0x1/0x2";
  const auto frame = ParseStackFrame(whole);
  if (!frame || frame->function != name) return std::nullopt;
  return StackFrame{.function = name, .module = {}, .offset = {}};
}

// "[<00000000a1b2c3d4>] usb_hcd_irq [usbcore]", "[<ffffffffa0012340>] (usb_hcd_irq+0x0/0x60)"
std::string FindHandler(std::string_view text) {
  const size_t end = text.find("] ");
  if (end == std::string_view::npos) return {};
  text.remove_prefix(end + 2);
  if (text.starts_with('(')) text.remove_prefix(1);
  return std::string(PlainName(text.substr(0, text.find_first_of(" +)"))));
}

// "last function: od_dbs_timer", "preempt=0x00000000 lock=1->0 RCU=0->1 workfn=od_dbs_timer"
std::string FindWork(std::string_view text) {
  for (const std::string_view label : {"last function: ", "workfn="}) {
    const size_t at = text.find(label);
    if (at == std::string_view::npos) continue;
    text.remove_prefix(at + label.size());
    return std::string(PlainName(text.substr(0, text.find_first_of(" +"))));
  }
  return {};
}

ReportFrame OwnedFrame(const StackFrame& frame) {
  return {.function = std::string(frame.function),
          .module = std::string(frame.module),
          .offset = std::string(frame.offset),
          .certain = frame.certain};
}

// The word behind `label`, up to a blank; empty when the label is not there.
std::string_view WordBehind(std::string_view text, std::string_view label) {
  const size_t at = text.find(label);
  if (at == std::string_view::npos) return {};
  text = Trim(text.substr(at + label.size()));
  return text.substr(0, text.find_first_of(" ,"));
}

class Reader {
 public:
  explicit Reader(const RawReport& raw) : raw_(raw) {}

  KernelReport Read() {
    report_.lines_left_out = raw_.lines_left_out;
    ChooseHeadline();
    size_t headline = 0;
    for (size_t i = 0; i < raw_.lines.size(); ++i) {
      const Beginning* beginning = nullptr;
      if (headline < raw_.headlines.size() && raw_.headlines[headline].line == i) {
        beginning = raw_.headlines[headline++].beginning;
      }
      ReadLine(raw_.lines[i], i, beginning);
    }
    ChooseMainStack();
    report_.guilty = FindGuilty(report_, raw_.lines.empty() ? "" : raw_.lines[title_]);
    return std::move(report_);
  }

 private:
  // The first line that says what happened; where there is none, the first one.
  void ChooseHeadline() {
    const auto rank = [](Role role) {
      switch (role) {
        case Role::kTitle:
        case Role::kSecond:
          return 0;
        case Role::kInside:
          return 2;
        case Role::kDetail:
          return 3;
        case Role::kTheEnd:
          return 4;
        case Role::kOpener:
          return 5;
      }
      return 6;
    };
    // A warning may only say where it is, and the line behind it what: "hard LOCKUP".
    const auto order = [&](const Headline& line) {
      const Beginning& beginning = *line.beginning;
      return rank(beginning.role) == 0 && beginning.kind == ReportKind::kWarning
                 ? 1
                 : rank(beginning.role);
    };
    const auto best =
        std::min_element(raw_.headlines.begin(), raw_.headlines.end(),
                         [&](const Headline& a, const Headline& b) { return order(a) < order(b); });
    if (best == raw_.headlines.end()) return;
    title_ = best->line;
    report_.kind = best->beginning->kind;
    report_.blame = best->beginning->blame;
    report_.reason = raw_.lines[title_];
  }

  void ReadLine(std::string_view text, size_t index, const Beginning* beginning) {
    const std::string_view trimmed = Trim(text);
    if (beginning != nullptr) {
      if (beginning->role == Role::kTheEnd) {
        report_.panicked = true;
        if (index != title_) {
          report_.panic = trimmed;
          EndStack(ReportStack::Label::kPanic);
          panicking_ = true;
        }
      }
      // "Unable to handle … at 0000000000000018 RIP:" of x86_64 before 2.6.25
      instruction_follows_ = trimmed.ends_with(" RIP:");
      if (beginning->role != Role::kInside) return;
    }
    if (std::exchange(instruction_follows_, false)) return ReadInstruction(trimmed);
    if (trimmed.empty()) {
      if (label_ != DefaultLabel()) EndStack(DefaultLabel());
      return;
    }
    if (ReadLock(text)) return;
    if (trimmed.starts_with("Preemption disabled at:")) {
      disabled_at_follows_ = true;
      return;
    }
    if (std::exchange(disabled_at_follows_, false)) return;
    if (report_.blame == Blame::kHandler && trimmed == "handlers:") {
      handler_follows_ = true;
      return;
    }
    if (std::exchange(handler_follows_, false)) report_.handler = FindHandler(trimmed);
    if (report_.blame == Blame::kHandler && report_.handler.empty()) {
      report_.handler = FindWork(trimmed);
    }
    if (ContainsAny(trimmed, kHistoryWords)) {
      EndStack(panicking_ ? ReportStack::Label::kPanic : ReportStack::Label::kHistory);
      if (trimmed.starts_with("-> #")) return;
    }
    if (trimmed.ends_with("-irq-safe at:")) EndStack(ReportStack::Label::kInterrupt);
    if (trimmed.starts_with("---[ end trace")) EndStack(DefaultLabel());
    if (StartsWithAny(trimmed, kStackHeaders)) {
      if (trimmed.starts_with("stack backtrace:")) label_ = DefaultLabel();
      if (stack_open_ && !IsOnlyInstruction()) EndStack(label_);
      OpenStack();
      // "Call Trace: <IRQ> [<ffffffff80…>] func+0x…" of old kernels
      ReadFrame(trimmed.substr(trimmed.find(':') + 1));
      return;
    }
    if (trimmed.starts_with("NMI backtrace for cpu") || trimmed.starts_with("task:") ||
        trimmed.starts_with("Showing all locks")) {
      EndStack(DefaultLabel());
    }
    if (ReadFrame(text)) return;
    if (StartsWithAny(trimmed, kInstructionLabels)) return ReadInstruction(trimmed);
    if (StartsWithAny(text, kCallerLabels)) return ReadCaller(text);
    if (ReadFacts(trimmed)) return;
    ReadRegisters(text);
  }

  ReportStack::Label DefaultLabel() const {
    return panicking_ ? ReportStack::Label::kPanic : ReportStack::Label::kMain;
  }

  // Whether the panic tells about itself by now: a warning that panics at once has no stack but the
  // panic's, one that panics later has told everything before.
  bool IsPanicsOwn() const {
    return panicking_ &&
           std::any_of(report_.stacks.begin(), report_.stacks.end(), [](const ReportStack& stack) {
             return stack.label == ReportStack::Label::kMain && !stack.frames.empty();
           });
  }

  bool IsOnlyInstruction() const {
    const ReportStack& stack = report_.stacks.back();
    return stack.frames.empty() || (stack.frames.size() == 1 && stack.instruction == 0);
  }

  void OpenStack() {
    if (stack_open_ || report_.stacks.size() == kMaxStacks) return;
    report_.stacks.push_back({.label = label_, .instruction = std::nullopt, .frames = {}});
    stack_open_ = true;
  }

  void EndStack(ReportStack::Label next) {
    stack_open_ = false;
    label_ = next;
  }

  void AddFrame(const StackFrame& frame) {
    OpenStack();
    if (!stack_open_) return;
    auto& frames = report_.stacks.back().frames;
    if (frames.size() < kMaxFrames) frames.push_back(OwnedFrame(frame));
  }

  bool ReadFrame(std::string_view text) {
    bool found = false;
    while (const auto frame = TakeStackFrame(text)) {
      AddFrame(*frame);
      found = true;
    }
    return found;
  }

  void ReadInstruction(std::string_view text) {
    if (text.contains("RIP: 0033:") || text.contains("RIP: 0023:")) return;
    // At the end of a report it is said once more.
    if (text.contains(" RSP: ") && stack_open_) return;
    auto found = FindFunction(text);
    if (!found) found = FindDecodedFunction(text);
    if (!found && text.starts_with("Krnl PSW")) found = FindCutFunction(text);
    if (!found) return;
    if (stack_open_ && IsOnlyInstruction() && !report_.stacks.back().frames.empty()) {
      return;  // "IP:" and then "RIP:"
    }
    OpenStack();
    if (!stack_open_) return;
    auto& stack = report_.stacks.back();
    if (!stack.instruction) stack.instruction = stack.frames.size();
    AddFrame(*found);
  }

  // Where a jump went astray the caller is all there is.
  void ReadCaller(std::string_view text) {
    if (stack_open_ && !report_.stacks.back().frames.empty()) return;
    auto found = FindFunction(text);
    if (!found) found = FindDecodedFunction(text);
    if (found) AddFrame(*found);
  }

  // Whether the line is the place of a lock alone, which looks like a frame.
  bool ReadLock(std::string_view text) {
    constexpr size_t kMaxSites = 2;
    const bool has_sites = report_.blame == Blame::kLockSite || report_.blame == Blame::kInterrupt;
    if (!has_sites || report_.lock_sites.size() == kMaxSites) return false;
    // The list of all locks that are held says more than is asked, if the question was answered.
    if (Trim(text).starts_with('#') && !report_.lock_sites.empty()) return false;
    constexpr std::string_view kAt = " at: ";
    if (const size_t at = text.find(kAt); lock_site_follows_ || at != std::string_view::npos) {
      const std::string_view site = lock_site_follows_ ? text : text.substr(at + kAt.size());
      auto found = FindFunction(site);
      if (!found) found = FindDecodedFunction(site);
      if (found) report_.lock_sites.emplace_back(PlainName(found->function));
      return std::exchange(lock_site_follows_, false) && found.has_value();
    }
    if (text.ends_with(") at:")) {
      lock_site_follows_ = true;
    }
    return false;
  }

  bool ReadFacts(std::string_view text) {
    if (IsPanicsOwn()) return false;
    if (text.starts_with("CPU: ") || text.starts_with("Pid: ")) {
      // The stack of KFENCE's stands above, and the registers that may follow are not its end.
      if (report_.kind == ReportKind::kSanitizer && stack_open_ && !IsOnlyInstruction()) {
        EndStack(label_);
      }
      ReadProcess(text);
      return true;
    }
    if (text.starts_with("Hardware name: ")) {
      if (report_.hardware.empty()) report_.hardware = text.substr(15);
      return true;
    }
    if (text.starts_with("Modules linked in:")) {
      if (report_.modules.empty()) report_.modules = Trim(text.substr(18));
      return true;
    }
    if (report_.tainted.empty() &&
        (text.starts_with("Not tainted ") || text.starts_with("Tainted: "))) {
      ReadTaint(text);
      return true;
    }
    return false;
  }

  // "CPU: 1 PID: 4070 Comm: swapper/1 Not tainted 4.8.0-rc3+ #33", "Pid: 1, comm: init Tainted: …"
  void ReadProcess(std::string_view text) {
    if (!report_.process.empty()) return;
    report_.cpu = WordBehind(text, "CPU: ");
    report_.pid = WordBehind(text, text.starts_with("Pid: ") ? "Pid: " : " PID: ");
    const size_t taint = std::min(text.find(" Not tainted"), text.find(" Tainted: "));
    size_t comm = text.find(" Comm: ");
    if (comm == std::string_view::npos) comm = text.find(" comm: ");
    if (comm != std::string_view::npos && comm + 7 <= std::min(taint, text.size())) {
      report_.process = Trim(text.substr(comm + 7, taint - comm - 7));
    }
    if (taint != std::string_view::npos) ReadTaint(text.substr(taint + 1));
  }

  // "Not tainted 4.8.0-rc3+ #33", "Tainted: G    B   W       4.4.70+ #9"
  void ReadTaint(std::string_view text) {
    if (text.starts_with("Not tainted")) {
      report_.tainted = "Not tainted";
      SetVersion(text.substr(11));
      return;
    }
    text.remove_prefix(9);
    report_.tainted = "Tainted:";
    while (true) {
      text = Trim(text);
      const std::string_view word = text.substr(0, text.find(' '));
      const bool flags = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || c == '-';
      });
      if (!flags || word.size() == text.size()) break;
      report_.tainted += ' ';
      report_.tainted += word;
      text.remove_prefix(word.size());
    }
    SetVersion(text);
  }

  void SetVersion(std::string_view text) {
    text = Trim(text);
    if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
    if (report_.version.empty()) report_.version = text;
  }

  // "RAX: 0000000000000000 RBX: …", "x29: ffff80001e5a74e0 x28: …", "r10: 82c92c74  r9 : …"
  void ReadRegisters(std::string_view text) {
    constexpr size_t kMaxRegisters = 48;
    constexpr size_t kLongestName = 8;
    if (IsPanicsOwn() || report_.registers.size() >= kMaxRegisters) return;
    std::string_view rest = text;
    while (true) {
      const size_t colon = rest.find(':');
      if (colon == std::string_view::npos) return;
      const std::string_view name = Trim(rest.substr(0, colon));
      rest = Trim(rest.substr(colon + 1));
      const std::string_view value = rest.substr(0, rest.find(' '));
      rest.remove_prefix(value.size());
      if (name.empty() || name.size() > kLongestName || name.contains(' ') || value.empty() ||
          value.find_first_not_of("0123456789abcdef:()") != std::string_view::npos) {
        return;
      }
      const bool known = std::any_of(report_.registers.begin(), report_.registers.end(),
                                     [&](const auto& pair) { return pair.first == name; });
      if (!known) report_.registers.emplace_back(name, value);
    }
  }

  void ChooseMainStack() {
    using enum ReportStack::Label;
    std::array order = {kMain, kPanic, kHistory};
    // Whose page it was says more than who happened to find it broken.
    if (report_.blame == Blame::kOwner) order = {kHistory, kMain, kPanic};
    if (report_.blame == Blame::kInterrupt) order = {kInterrupt, kMain, kHistory};
    for (const auto label : order) {
      for (size_t i = 0; i < report_.stacks.size(); ++i) {
        if (report_.stacks[i].label == label && !report_.stacks[i].frames.empty()) {
          report_.main_stack = i;
          return;
        }
      }
    }
  }

  const RawReport& raw_;
  KernelReport report_;
  size_t title_ = 0;
  ReportStack::Label label_ = ReportStack::Label::kMain;
  bool stack_open_ = false;
  bool panicking_ = false;
  bool lock_site_follows_ = false;
  bool disabled_at_follows_ = false;
  bool handler_follows_ = false;
  bool instruction_follows_ = false;
};

}  // namespace

KernelReport ReadKernelReport(const RawReport& raw) { return Reader(raw).Read(); }

}  // namespace telem
