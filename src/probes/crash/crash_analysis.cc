#include "probes/crash/crash_analysis.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "base/flat_json.h"
#include "base/text.h"
#include "probes/crash/crash_report.h"
#include "probes/crash/crash_signature.h"
#include "unwind/demangle.h"
#include "unwind/symbolizer.h"

namespace telem {
namespace {

constexpr size_t kMaxShownPath = 512;
// What is kept free for modules, registers and signature when stacks are many.
constexpr size_t kMaxTail = size_t{48} * 1024;
constexpr size_t kMaxShownModules = 256;
// Of kMaxTail; the rest is enough for registers that all point into modules of long names.
constexpr size_t kMaxModulesText = size_t{26} * 1024;
// "(N or more frames left out)"
constexpr size_t kMaxLeftOutLine = 64;
constexpr size_t kMaxShownThreadIds = 200;

std::string Hex(uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::string Number(uint64_t value) {
  std::string text;
  AppendUnsigned(text, value);
  return text;
}

// Foreign text on one line of a record.
std::string OneLine(std::string_view text, size_t limit) {
  std::string line(text.substr(0, limit));
  for (char& c : line) {
    if (IsControl(c)) c = '?';
  }
  return IsUtf8(line) ? line : PrintableAscii(line, limit);
}

// Whether a readable name tells its arguments already, as those of C++ do.
bool HasArguments(std::string_view name) {
  return name.ends_with(')') || name.contains(") const") || name.contains(") [clone");
}

// Whether nothing is at `address` and the stack of the thread that crashed is not far: an overflow
// ends in the guard page below the stack.
bool IsBesideStack(uint64_t address, const CoreNotes& notes, const ModuleMap& map) {
  constexpr uint64_t kGuard = uint64_t{1} << 20;
  if (notes.threads.empty() || map.FindMapping(address) != nullptr) return false;
  const uint64_t stack = StackPointer(notes.machine, notes.threads.front());
  return (address > stack ? address - stack : stack - address) < kGuard;
}

// Threads whose stacks are the same.
struct StackGroup {
  ThreadStack stack;
  std::vector<pid_t> tids;
};

// Where the contents of a module came from; null where no stack led there.
const char* OriginOf(const Unwinder& unwinder, size_t index) {
  switch (unwinder.Origin(index)) {
    case ModuleOrigin::kUnused:
      break;
    case ModuleOrigin::kFile:
      return "the file that was mapped";
    case ModuleOrigin::kMemory:
      return unwinder.map().modules()[index].path == kVdso
                 ? "memory; it has no file"
                 : "as much as is in memory; the file could not be had";
    case ModuleOrigin::kOtherFile:
      return "nowhere; the file of that name is another one by now";
    case ModuleOrigin::kNowhere:
      return "nowhere; neither the file nor its memory could be had";
  }
  return nullptr;
}

class Analysis {
 public:
  Analysis(const CoreNotes& notes, const ModuleMap& map, Unwinder& unwinder,
           const AnalysisLimits& limits, const Clock& clock)
      : notes_(notes),
        map_(map),
        unwinder_(unwinder),
        limits_(limits),
        clock_(clock),
        end_(clock.Monotonic() + limits.time),
        threads_left_out_(notes.threads.size() + notes.threads_left_out),
        symbolizer_(unwinder, clock, 2 * limits.time) {}

  void UnwindCrashed() {
    if (notes_.threads.empty()) return;
    Add(unwinder_.Unwind(notes_.threads.front(), limits_.crashing_frames, clock_, end_));
  }

  // An endless thread hides no other: it has half of what is left of the time.
  void UnwindOthers() {
    const MonotonicTime end = std::max(end_, clock_.Monotonic() + limits_.time / 2);
    for (size_t i = 1; i < notes_.threads.size(); ++i) {
      const MonotonicTime now = clock_.Monotonic();
      if (now >= end) break;
      Add(unwinder_.Unwind(notes_.threads[i], limits_.frames, clock_, now + (end - now) / 2));
    }
  }

  void LookUpSymbols() {
    std::vector<uint64_t> addresses;
    for (const StackGroup& group : groups_) {
      for (const StackFrame& frame : group.stack.frames) addresses.push_back(frame.lookup());
    }
    symbolizer_.LookUpSymbols(std::move(addresses));
  }

  void LookUpDwarf() { symbolizer_.LookUpDwarf(); }

  std::string Text() {
    std::string tail;
    std::string stacks = Stacks(limits_.bytes - kMaxTail);
    AppendModules(tail);
    AppendRegisters(tail);
    const CrashingStack stack = StackOfCrash();
    tail += "Signature: " + StableSignature(stack) +
            "   exact: " + ExactSignature(stack, ProgramName()) + "\n";
    return Head() + stacks + tail;
  }

  // For people: a line for each module that was looked into.
  std::string Origins() const {
    std::set<size_t> with_names;
    std::set<size_t> with_lines;
    for (const StackGroup& group : groups_) {
      for (const StackFrame& frame : group.stack.frames) {
        const auto index = map_.FindModule(frame.lookup());
        if (!index) continue;
        for (const SourceFrame& function : symbolizer_.Find(frame.lookup()).functions) {
          if (!function.function.empty()) with_names.insert(*index);
          if (!function.file.empty()) with_lines.insert(*index);
        }
      }
    }
    std::string text;
    for (size_t i = 0; i < map_.modules().size(); ++i) {
      const char* origin = OriginOf(unwinder_, i);
      if (origin == nullptr) continue;
      const char* names = "nothing names its functions";
      if (with_names.contains(i)) names = "names from a symbol table";
      if (with_lines.contains(i)) names = "names and lines from debug information";
      text += OneLine(map_.modules()[i].path, kMaxShownPath) + ": " + origin + "; " + names + "\n";
    }
    return text;
  }

 private:
  void Add(ThreadStack stack) {
    --threads_left_out_;
    for (StackGroup& group : groups_) {
      // The one that crashed stands alone: its neighbours did not crash.
      if (&group == &groups_.front() || group.stack.frames != stack.frames ||
          group.stack.left_out != stack.left_out) {
        continue;
      }
      group.tids.push_back(stack.tid);
      return;
    }
    const pid_t tid = stack.tid;
    groups_.push_back({std::move(stack), {tid}});
  }

  // The module that the process was started from.
  std::optional<size_t> MainModule() const {
    for (const uint64_t key : {uint64_t{AT_PHDR}, uint64_t{AT_ENTRY}}) {
      const auto value = notes_.auxv.find(key);
      if (value == notes_.auxv.end()) continue;
      if (const auto index = map_.FindModule(value->second)) return index;
    }
    return std::nullopt;
  }

  // What the program is called in a signature.
  std::string ProgramName() {
    const auto main = MainModule();
    if (!main) return notes_.command;
    const std::string& build_id = unwinder_.Facts(*main).build_id;
    return build_id.empty() ? PlainModule(map_.modules()[*main].path) : build_id;
  }

  std::string Head() {
    std::string head;
    const auto main = MainModule();
    if (!main) return head;
    const ElfFacts& facts = unwinder_.Facts(*main);
    if (!facts.build_id.empty()) head += "Build-ID: " + facts.build_id + "\n";
    if (const auto package = ParseFlatJson(facts.package)) {
      const auto name = package->find("name");
      const auto version = package->find("version");
      if (name != package->end()) {
        head += "Package: " + OneLine(name->second, 128);
        if (version != package->end()) head += " " + OneLine(version->second, 128);
        head += "\n";
      }
    }
    return head;
  }

  std::string ModuleName(uint64_t address) const {
    if (const auto index = map_.FindModule(address)) {
      return ShownModule(map_.modules()[*index].path);
    }
    const Mapping* mapping = map_.FindMapping(address);
    if (mapping == nullptr) return "unmapped";
    return mapping->executable ? "generated code" : "data";
  }

  uint64_t OffsetOf(uint64_t address) {
    const auto index = map_.FindModule(address);
    if (!index) return 0;
    return address - map_.modules()[*index].start + unwinder_.Facts(*index).first_address;
  }

  // One frame of the stack may be several, for what was inlined.
  void AddLines(const StackFrame& frame, std::vector<std::string>& lines) {
    const uint64_t address = frame.lookup();
    const Location& location = symbolizer_.Find(address);
    const bool has_module = map_.FindModule(address).has_value();
    for (const SourceFrame& function : location.functions) {
      std::string out = "#" + Number(lines.size()) + " ";
      std::string name = OneLine(function.function, kMaxReadable + 8);
      if (name.empty()) {
        name = "???";
      } else if (!HasArguments(name)) {
        name += "()";
      }
      out += name + " - [" + ModuleName(address) + "]";
      if (!function.file.empty()) {
        out += " - " + OneLine(function.file, kMaxShownPath) + ":" +
               Number(static_cast<uint64_t>(std::max(function.line, 0)));
      }
      if (has_module) out += " +" + Hex(OffsetOf(address));
      if (&function != &location.functions.back()) out += " (inlined)";
      lines.push_back(out + "\n");
    }
  }

  // As many frames from the innermost on as there is room for; empty where there is none for any.
  // The number of the others is added to `left_out`.
  std::string Frames(const ThreadStack& stack, size_t room, uint64_t& left_out) {
    std::string out;
    bool is_full = false;
    std::vector<std::string> lines;
    for (const StackFrame& frame : stack.frames) {
      const size_t first = lines.size();
      AddLines(frame, lines);
      for (size_t i = first; i < lines.size(); ++i) {
        is_full = is_full || out.size() + lines[i].size() > room;
        if (is_full) {
          ++left_out;
          continue;
        }
        out += lines[i];
        if (const auto index = map_.FindModule(frame.lookup())) shown_modules_.insert(*index);
      }
    }
    return out;
  }

  std::string Stacks(size_t limit) {
    std::string out;
    bool is_full = false;
    size_t groups_left_out = 0;
    for (const StackGroup& group : groups_) {
      std::string text = "\nBacktrace (TID ";
      for (size_t i = 0; i < group.tids.size(); ++i) {
        if (i == kMaxShownThreadIds) {
          text += " and " + Number(group.tids.size() - i) + " more";
          break;
        }
        if (i > 0) text += ", ";
        text += Number(static_cast<uint64_t>(std::max(group.tids[i], 0)));
      }
      text += "):\n";
      const size_t used = out.size() + text.size() + kMaxLeftOutLine;
      uint64_t left_out = group.stack.left_out;
      std::string frames;
      if (!is_full && used < limit) frames = Frames(group.stack, limit - used, left_out);
      if (frames.empty()) {
        is_full = true;
        groups_left_out += group.tids.size();
        continue;
      }
      // What is behind it is left out, and not only what is larger than the rest of the room.
      is_full = left_out > group.stack.left_out;
      out += text + frames;
      if (left_out > 0) {
        out += "(" + Number(left_out) +
               (group.stack.more_left_out ? " or more frames left out)\n" : " frames left out)\n");
      }
    }
    if (threads_left_out_ + groups_left_out > 0) {
      out += "\n(" + Number(threads_left_out_ + groups_left_out) + " threads left out)\n";
    }
    if (notes_.truncated) out += std::string("\n") + kEndedEarly + "\n";
    return out;
  }

  void AppendModules(std::string& out) {
    out += "\nModules:\n";
    size_t count = 0;
    for (const size_t index : shown_modules_) {
      const Module& module = map_.modules()[index];
      const std::string& build_id = unwinder_.Facts(index).build_id;
      const std::string line = ShownModule(module.path) + " " +
                               (build_id.empty() ? "-" : build_id) + " " + Hex(module.start) +
                               (module.deleted ? " (deleted)" : "") + "\n";
      if (count == kMaxShownModules || out.size() + line.size() > kMaxModulesText) {
        out += "(" + Number(shown_modules_.size() - count) + " modules left out)\n";
        break;
      }
      ++count;
      out += line;
    }
  }

  void AppendRegisters(std::string& out) {
    if (notes_.threads.empty()) return;
    const ThreadState& thread = notes_.threads.front();
    out += "\nRegisters (TID " + Number(static_cast<uint64_t>(std::max(thread.tid, 0))) + "):\n";
    const auto names = RegisterNames(notes_.machine);
    for (size_t i = 0; i < names.size(); ++i) {
      // Any other value may be data, and the smallest one a byte of a password.
      if (names[i] == nullptr || !map_.IsExecutable(thread.registers[i])) continue;
      const std::string place = DescribeAddress(thread.registers[i], notes_, map_);
      out += std::string(names[i]) + " " + place + "\n";
    }
    out += "\n";
  }

  CrashingStack StackOfCrash() {
    CrashingStack stack;
    if (groups_.empty()) return stack;
    stack.overflowed = HasOverflowed(groups_.front().stack);
    for (const StackFrame& frame : groups_.front().stack.frames) {
      const uint64_t address = frame.lookup();
      const auto index = map_.FindModule(address);
      const Location& location = symbolizer_.Find(address);
      for (const SourceFrame& function : location.functions) {
        SignatureFrame out;
        out.function = function.function;
        out.inlined = &function != &location.functions.back();
        out.offset = OffsetOf(address);
        if (index) {
          out.module = map_.modules()[*index].path;
          out.build_id = unwinder_.Facts(*index).build_id;
        }
        stack.frames.push_back(std::move(out));
      }
    }
    return stack;
  }

  // The runtimes of some languages find it out by themselves and abort: then only its depth tells.
  bool HasOverflowed(const ThreadStack& stack) const {
    if (notes_.signal_info && notes_.signal_info->HasAddress()) {
      return IsBesideStack(notes_.signal_info->address, notes_, map_);
    }
    // One that is cut since it took too long may be a short one.
    return stack.left_out > 0 && stack.frames.size() == limits_.crashing_frames;
  }

  const CoreNotes& notes_;
  const ModuleMap& map_;
  Unwinder& unwinder_;
  const AnalysisLimits& limits_;
  const Clock& clock_;
  const MonotonicTime end_;
  uint64_t threads_left_out_;
  Symbolizer symbolizer_;
  std::vector<StackGroup> groups_;
  std::set<size_t> shown_modules_;
};

}  // namespace

std::string ShownModule(std::string_view path) {
  for (const std::string_view start :
       {"/usr/", "/opt/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/nix/store/"}) {
    if (path.starts_with(start)) return OneLine(path, kMaxShownPath);
  }
  return OneLine(path.substr(path.rfind('/') + 1), kMaxShownPath);
}

std::string DescribeAddress(uint64_t address, const CoreNotes& notes, const ModuleMap& map) {
  // So near to zero it is a null pointer and a member's offset.
  constexpr uint64_t kNearZero = 4096;
  if (address < kNearZero) return Hex(address);
  if (const auto index = map.FindModule(address)) {
    const Module& module = map.modules()[*index];
    return "[" + ShownModule(module.path) + "] +" + Hex(address - module.start);
  }
  const bool is_mapped = map.FindMapping(address) != nullptr;
  if (!notes.threads.empty()) {
    const uint64_t stack = StackPointer(notes.machine, notes.threads.front());
    const Mapping* mapping = map.FindMapping(stack);
    if (mapping != nullptr && address < mapping->end && address >= mapping->start) return "stack";
    if (IsBesideStack(address, notes, map)) return "near the stack";
  }
  return is_mapped ? "memory" : "nothing";
}

void AnalyseCrash(const CoreNotes& notes, const ModuleMap& map, ProcessMemory& memory,
                  ModuleFiles& files, const AnalysisLimits& limits, const Clock& clock,
                  const std::function<void(std::string_view)>& emit) {
  auto unwinder = Unwinder::Create(notes, map, memory, files);
  if (!unwinder) return;
  Analysis analysis(notes, map, **unwinder, limits, clock);
  analysis.UnwindCrashed();
  emit(analysis.Text());
  analysis.UnwindOthers();
  emit(analysis.Text());
  analysis.LookUpSymbols();
  emit(analysis.Text());
  analysis.LookUpDwarf();
  emit(analysis.Text());
  if (limits.tells_origins) emit(analysis.Origins());
}

}  // namespace telem
