#include "probes/kernel/guilty.h"

#include <algorithm>
#include <optional>
#include <span>

#include "probes/kernel/plumbing.h"
#include "probes/kernel/stack_frame.h"

namespace telem {
namespace {

using Frames = std::span<const ReportFrame>;

// The function that the title names: "BUG: KASAN: slab-out-of-bounds in memcmp+0xe3/0x160",
// "WARNING: CPU: 0 PID: 1 at fs/dcache.c:1616 umount_check+0x18d/0x1d0", "BUG: KCSAN: data-race in
// __d_lookup / d_alloc".
std::string_view NamedIn(std::string_view title) {
  size_t at = title.find("+0x");
  if (at == std::string_view::npos) {
    constexpr std::string_view kIn = " in ";
    if (!title.contains("BUG: K") && !title.contains("slab error")) return {};
    at = title.find(kIn);
    if (at == std::string_view::npos) return {};
    title.remove_prefix(at + kIn.size());
    return PlainName(title.substr(0, title.find_first_of(" ()/")));
  }
  size_t start = at;
  while (start > 0 && title[start - 1] != ' ' && title[start - 1] != '(') --start;
  return PlainName(title.substr(start, at - start));
}

// Without what was printed in the interrupt that noticed: the frames from where it came in between.
Frames BehindInterrupt(Frames frames, std::optional<size_t> instruction) {
  if (instruction && *instruction > 0 && *instruction < frames.size()) {
    return frames.subspan(*instruction);
  }
  for (size_t i = 0; i < frames.size(); ++i) {
    if (IsInterruptEntry(PlainName(frames[i].function))) {
      return i + 1 < frames.size() ? frames.subspan(i + 1) : frames;
    }
  }
  return frames;
}

// Without what an interrupt only interrupted. The first frame is the instruction.
Frames BeforeInterrupted(Frames frames) {
  for (size_t i = 1; i < frames.size(); ++i) {
    if (frames[i].certain && IsInterruptEntry(PlainName(frames[i].function)))
      return frames.first(i);
  }
  return frames;
}

// The first that `fits`, of those that are certain; else of those that are not.
template <typename Fits>
std::string FirstThat(Frames frames, const Fits& fits) {
  for (const bool certain : {true, false}) {
    for (const ReportFrame& frame : frames) {
      const std::string_view name = PlainName(frame.function);
      if (frame.certain == certain && !name.empty() && fits(name)) return std::string(name);
    }
  }
  return {};
}

// The operation that was under way: what a dispatcher called last. `callee`: what the first of
// `frames` had called, empty where that is not known.
std::string OperationOf(Frames frames, std::string_view callee) {
  for (const ReportFrame& frame : frames) {
    if (!frame.certain) continue;
    const std::string_view name = PlainName(frame.function);
    if (IsWaitingForProcessors(name)) return std::string(name);
    if (IsDispatcher(name)) {
      if (!callee.empty()) return std::string(callee);
    }
    if (!IsPlumbing(name)) callee = name;
  }
  return {};
}

}  // namespace

std::string FindGuilty(const KernelReport& report, std::string_view title) {
  const auto is_innocent = [&](std::string_view name) {
    return IsPlumbing(name) || (report.kind != ReportKind::kLockdep && IsAllocator(name)) ||
           (report.blame == Blame::kWait && IsWaiting(name)) ||
           (report.blame == Blame::kLeaker && IsAllocatorForOthers(name)) ||
           (report.kind == ReportKind::kWarning && IsBookkeeping(name));
  };
  if (report.blame == Blame::kNobody) return {};
  if (report.blame == Blame::kHandler) return report.handler;
  const std::string_view named = NamedIn(title);
  // A sanitizer names the code that it watched, never itself: its tests bear its name.
  const bool is_certain = report.blame == Blame::kNamed ||
                          (report.kind == ReportKind::kSanitizer && named.starts_with("kasan_"));
  if (!named.empty() && (is_certain || !is_innocent(named))) {
    return std::string(named);
  }
  const bool has_interrupt = !report.stacks.empty() && report.stacks[report.main_stack].label ==
                                                           ReportStack::Label::kInterrupt;
  for (const std::string& site : report.lock_sites) {
    if (has_interrupt) break;
    // Who takes a lock of the scheduler's is the scheduler.
    if (!is_innocent(site) || IsScheduling(site)) return site;
  }
  if (report.stacks.empty()) return std::string(named);

  const ReportStack& stack = report.stacks[report.main_stack];
  if (report.blame == Blame::kOperation) {
    const Frames interrupted = BehindInterrupt(stack.frames, stack.instruction);
    // A trace without registers, without an interrupt's frames and without the report's own starts
    // at what did not end.
    if (!stack.instruction && !stack.frames.empty() && interrupted.size() == stack.frames.size() &&
        !IsReporting(PlainName(stack.frames[0].function))) {
      return FirstThat(interrupted, [&](std::string_view name) { return !is_innocent(name); });
    }
    // Registers stand above the stack: then what ran is known, and the frames only tell who called.
    std::string_view running;
    if (stack.instruction == 0 && interrupted.size() < stack.frames.size()) {
      running = PlainName(stack.frames[0].function);
      if (is_innocent(running)) running = {};
    }
    if (std::string operation = OperationOf(interrupted, running); !operation.empty()) {
      return operation;
    }
    return FirstThat(interrupted, [&](std::string_view name) { return !is_innocent(name); });
  }
  // What the report printed on its own way out stands above the instruction.
  Frames frames = Frames(stack.frames).subspan(stack.instruction.value_or(0));
  // Where an interrupt's own way in went wrong, who was interrupted is not to blame.
  if (stack.instruction) frames = BeforeInterrupted(frames);
  std::string guilty = FirstThat(frames, [&](std::string_view name) { return !is_innocent(name); });
  if (!guilty.empty()) return guilty;
  // Nothing but plumbing: then it is the plumbing, what wrote the report last of all.
  if (!named.empty()) return std::string(named);
  guilty = FirstThat(frames, [](std::string_view name) { return !IsReporting(name); });
  if (!guilty.empty()) return guilty;
  return FirstThat(frames, [](std::string_view) { return true; });
}

}  // namespace telem
