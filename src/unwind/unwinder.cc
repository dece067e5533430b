#include "unwind/unwinder.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace telem {
namespace {

// Places of the DWARF registers in ThreadState::registers (x86-64 psABI, figure 3.36).
constexpr std::array<uint8_t, 17> kX86DwarfOrder = {10, 12, 11, 5, 13, 14, 4, 19, 9,
                                                    8,  7,  6,  3, 2,  1,  0, 16};
constexpr size_t kArmDwarfRegisters = 32;  // x0 to x30, sp

struct DwflEnd {
  void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};
struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};

class LibdwUnwinder final : public Unwinder {
 public:
  LibdwUnwinder(const CoreNotes& notes, const ModuleMap& map, ProcessMemory& memory,
                ModuleFiles& files)
      : machine_(notes.machine), map_(map), memory_(memory), files_(files), pid_(notes.pid) {}

  Status Open() {
    elf_version(EV_CURRENT);
    dwfl_.reset(dwfl_begin(&kFileCallbacks));
    if (!dwfl_) return Fail(ErrorCode::kNoSpace, "libdwfl does not start");
    dwfl_report_begin(dwfl_.get());
    modules_.resize(map_.modules().size());
    for (size_t i = 0; i < modules_.size(); ++i) {
      const Module& module = map_.modules()[i];
      modules_[i].owner = this;
      modules_[i].index = i;
      modules_[i].dwfl =
          dwfl_report_module(dwfl_.get(), module.path.c_str(), module.start, module.end);
      void** user = nullptr;
      if (modules_[i].dwfl == nullptr) continue;
      dwfl_module_info(modules_[i].dwfl, &user, nullptr, nullptr, nullptr, nullptr, nullptr,
                       nullptr);
      *user = &modules_[i];
    }
    dwfl_report_end(dwfl_.get(), nullptr, nullptr);

    // All that libdwfl wants from this file is the machine.
    header_.e_ident[EI_CLASS] = ELFCLASS64;
    header_.e_ident[EI_DATA] = ELFDATA2LSB;
    header_.e_ident[EI_VERSION] = EV_CURRENT;
    std::memcpy(header_.e_ident, ELFMAG, SELFMAG);
    header_.e_type = ET_CORE;
    header_.e_machine = machine_ == Machine::kX86_64 ? EM_X86_64 : EM_AARCH64;
    header_.e_version = EV_CURRENT;
    header_.e_ehsize = sizeof(header_);
    core_.reset(elf_memory(reinterpret_cast<char*>(&header_), sizeof(header_)));
    const pid_t pid = std::max(pid_, 1);
    if (!core_ || !dwfl_attach_state(dwfl_.get(), core_.get(), pid, &kThreadCallbacks, this)) {
      return Fail(ErrorCode::kInvalid, std::string("libdwfl: ") + dwfl_errmsg(-1));
    }
    return {};
  }

  ThreadStack Unwind(const ThreadState& thread, size_t limit) override {
    ThreadStack stack;
    stack.tid = thread.tid;
    ThreadState start = thread;
    const uint64_t pc = ProgramCounter(machine_, thread);
    if (!map_.IsExecutable(pc)) {
      // A call through a wild pointer: no table tells about this place, but the call has just been
      // made, so it is known where it came from.
      if (const uint64_t caller = FindCaller(thread); map_.IsExecutable(caller)) {
        stack.frames.push_back({pc, false});
        StepBack(start, caller);
      }
    }
    Walk walk{stack, limit, !stack.frames.empty()};
    current_ = &start;
    dwfl_getthread_frames(dwfl_.get(), 1, OnFrame, &walk);
    current_ = nullptr;
    if (stack.frames.empty() && limit > 0) stack.frames.push_back({pc, false});
    return stack;
  }

  Dwfl_Module* FindDwflModule(uint64_t address) override {
    const auto index = map_.FindModule(address);
    return index ? modules_[*index].dwfl : nullptr;
  }

  const ElfFacts& Facts(size_t index) override {
    ModuleState& module = modules_[index];
    if (!module.knows_facts) {
      module.knows_facts = true;
      module.facts = ReadElfFacts(memory_, map_.modules()[index].start);
    }
    return module.facts;
  }

  ModuleOrigin Origin(size_t index) const override { return modules_[index].origin; }
  const ModuleMap& map() const override { return map_; }
  ModuleFiles& files() override { return files_; }

 private:
  struct ModuleState {
    LibdwUnwinder* owner = nullptr;
    size_t index = 0;
    Dwfl_Module* dwfl = nullptr;
    bool knows_facts = false;
    ElfFacts facts;
    ModuleOrigin origin = ModuleOrigin::kUnused;
    std::vector<char> image;  // where there is no file
  };

  struct Walk {
    ThreadStack& stack;
    size_t limit;
    bool begins_with_call;  // the first frame that libdwfl gives is where a call returns to
  };

  // The address behind the call that led to where `thread` is, when it did nothing since.
  uint64_t FindCaller(const ThreadState& thread) {
    if (machine_ == Machine::kAarch64) return thread.registers[30];
    std::array<char, 8> bytes;
    uint64_t caller = 0;
    if (memory_.ReadAll(StackPointer(machine_, thread), bytes)) {
      std::memcpy(&caller, bytes.data(), sizeof(caller));
    }
    return caller;
  }

  void StepBack(ThreadState& thread, uint64_t caller) const {
    if (machine_ == Machine::kAarch64) {
      thread.registers[32] = caller;
    } else {
      thread.registers[16] = caller;
      thread.registers[19] += 8;
    }
  }

  // libdwfl's questions

  static int FindElf(Dwfl_Module* /*module*/, void** user, const char* /*name*/,
                     Dwarf_Addr /*base*/, char** file_name, Elf** elf) {
    auto& state = *static_cast<ModuleState*>(*user);
    return state.owner->FindElf(state, file_name, elf);
  }

  int FindElf(ModuleState& state, char** file_name, Elf** elf) {
    const Module& module = map_.modules()[state.index];
    state.origin = ModuleOrigin::kNowhere;
    *file_name = ::strdup(module.path.c_str());
    if (module.path != kVdso) {
      UniqueFd file = files_.OpenModule(state.index);
      if (file.valid() && IsSameFile(state.index, file.get())) {
        state.origin = ModuleOrigin::kFile;
        return file.Release();
      }
      if (file.valid()) state.origin = ModuleOrigin::kOtherFile;
    }
    state.image = ReadElfImage(memory_, module.start, module.end);
    if (state.image.empty()) return -1;
    state.origin = ModuleOrigin::kMemory;
    *elf = elf_memory(state.image.data(), state.image.size());
    return -1;
  }

  // Whether `file` is the one that is in memory, as far as build ids tell.
  bool IsSameFile(size_t index, int file) {
    ElfFileMemory contents(file);
    ElfFacts in_file = ReadElfFacts(contents, 0);
    const std::string& in_memory = Facts(index).build_id;
    const bool is_same = in_memory.empty() || in_memory == in_file.build_id;
    if (in_memory.empty()) modules_[index].facts = std::move(in_file);
    return is_same;
  }

  static int FindDebugInfo(Dwfl_Module* /*module*/, void** user, const char* /*name*/,
                           Dwarf_Addr /*base*/, const char* /*file_name*/, const char* debuglink,
                           GElf_Word /*crc*/, char** debug_file_name) {
    auto& state = *static_cast<ModuleState*>(*user);
    LibdwUnwinder& owner = *state.owner;
    const std::string& build_id = owner.Facts(state.index).build_id;
    const std::string_view link = debuglink != nullptr ? debuglink : "";
    UniqueFd file = owner.files_.OpenDebugFile(state.index, build_id, link);
    if (!file.valid()) return -1;
    ElfFileMemory contents(file.get());
    const std::string found = ReadElfFacts(contents, 0).build_id;
    if (!build_id.empty() && !found.empty() && found != build_id) return -1;
    *debug_file_name = ::strdup("debug");
    return file.Release();
  }

  static pid_t NextThread(Dwfl* /*dwfl*/, void* arg, void** thread_arg) {
    if (*thread_arg != nullptr) return 0;
    *thread_arg = arg;
    return 1;
  }

  static bool GetThread(Dwfl* /*dwfl*/, pid_t /*tid*/, void* arg, void** thread_arg) {
    *thread_arg = arg;
    return true;
  }

  static bool ReadWord(Dwfl* /*dwfl*/, Dwarf_Addr address, Dwarf_Word* result, void* arg) {
    std::array<char, sizeof(Dwarf_Word)> bytes;
    if (!static_cast<LibdwUnwinder*>(arg)->memory_.ReadAll(address, bytes)) return false;
    std::memcpy(result, bytes.data(), sizeof(*result));
    return true;
  }

  static bool SetRegisters(Dwfl_Thread* thread, void* arg) {
    const auto& owner = *static_cast<LibdwUnwinder*>(arg);
    const auto& registers = owner.current_->registers;
    if (owner.machine_ == Machine::kAarch64) {
      dwfl_thread_state_register_pc(thread, ProgramCounter(owner.machine_, *owner.current_));
      return dwfl_thread_state_registers(thread, 0, kArmDwarfRegisters, registers.data());
    }
    std::array<Dwarf_Word, kX86DwarfOrder.size()> ordered;
    for (size_t i = 0; i < ordered.size(); ++i) ordered[i] = registers[kX86DwarfOrder[i]];
    return dwfl_thread_state_registers(thread, 0, ordered.size(), ordered.data());
  }

  static int OnFrame(Dwfl_Frame* frame, void* arg) {
    auto& walk = *static_cast<Walk*>(arg);
    Dwarf_Addr pc = 0;
    bool is_activation = false;
    if (!dwfl_frame_pc(frame, &pc, &is_activation)) return DWARF_CB_ABORT;
    if (walk.stack.frames.size() < walk.limit) {
      walk.stack.frames.push_back({pc, !is_activation || walk.begins_with_call});
    } else if (walk.stack.left_out == kMaxCounted) {
      walk.stack.more_left_out = true;
      return DWARF_CB_ABORT;
    } else {
      ++walk.stack.left_out;
    }
    walk.begins_with_call = false;
    return DWARF_CB_OK;
  }

  static constexpr Dwfl_Callbacks kFileCallbacks = {FindElf, FindDebugInfo,
                                                    dwfl_offline_section_address, nullptr};
  static constexpr Dwfl_Thread_Callbacks kThreadCallbacks = {NextThread,   GetThread, ReadWord,
                                                             SetRegisters, nullptr,   nullptr};

  Machine machine_;
  const ModuleMap& map_;
  ProcessMemory& memory_;
  ModuleFiles& files_;
  pid_t pid_;
  std::vector<ModuleState> modules_;
  Elf64_Ehdr header_{};
  std::unique_ptr<Elf, ElfEnd> core_;
  std::unique_ptr<Dwfl, DwflEnd> dwfl_;
  const ThreadState* current_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Unwinder>> Unwinder::Create(const CoreNotes& notes, const ModuleMap& map,
                                                   ProcessMemory& memory, ModuleFiles& files) {
  auto unwinder = std::make_unique<LibdwUnwinder>(notes, map, memory, files);
  TELEM_CHECK(unwinder->Open());
  return unwinder;
}

}  // namespace telem
