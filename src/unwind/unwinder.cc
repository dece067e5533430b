#include "unwind/unwinder.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

#include "unwind/cfi_check.h"
#include "unwind/untabled_step.h"

namespace telem {
namespace {

// Places of the DWARF registers in ThreadState::registers (x86-64 psABI, figure 3.36).
constexpr std::array<uint8_t, 17> kX86DwarfOrder = {10, 12, 11, 5, 13, 14, 4, 19, 9,
                                                    8,  7,  6,  3, 2,  1,  0, 16};
constexpr size_t kX86DwarfPc = 16;
constexpr size_t kArmDwarfRegisters = 32;  // x0 to x30, sp
constexpr int kArmDwarfLink = 30;

struct DwflEnd {
  void operator()(Dwfl* dwfl) const { dwfl_end(dwfl); }
};
struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};

std::span<const char> BytesOf(const Elf_Data* data) {
  if (data == nullptr || data->d_buf == nullptr) return {};
  return {static_cast<const char*>(data->d_buf), data->d_size};
}

// A section of this name that has bytes in the file.
struct FoundSection {
  Elf_Scn* section = nullptr;
  uint64_t address = 0;
  int count = 0;  // how many there are; libdw may take another one of them
};

FoundSection FindSection(Elf* elf, std::string_view name) {
  FoundSection found;
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0 || names == 0) return found;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* own_name = elf_strptr(elf, names, header.sh_name);
    if (own_name == nullptr || own_name != name) continue;
    found = {section, header.sh_addr, found.count + 1};
  }
  return found;
}

// Files of other kinds have tables that need relocation, or none that are for us.
bool IsProgramOrLibrary(Elf* elf) {
  GElf_Ehdr header;
  return elf != nullptr && gelf_getehdr(elf, &header) != nullptr &&
         header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
         (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

// Those that dwfl_module_eh_cfi() is going to use, or nothing where that is not sure.
std::optional<CfiTables> FindEhFrame(Dwfl_Module* module) {
  GElf_Addr bias = 0;
  Elf* elf = dwfl_module_getelf(module, &bias);
  if (!IsProgramOrLibrary(elf)) return std::nullopt;
  const FoundSection entries = FindSection(elf, ".eh_frame");
  const FoundSection index = FindSection(elf, ".eh_frame_hdr");
  CfiTables tables;
  if (entries.count == 1 && index.count <= 1) {
    tables.entries = BytesOf(elf_rawdata(entries.section, nullptr));
    tables.address = entries.address;
    if (index.count == 1) tables.index = BytesOf(elf_rawdata(index.section, nullptr));
    tables.index_address = index.address;
    return tables;
  }
  if (entries.count > 0) return std::nullopt;
  // Without sections, as of what is only in memory.
  size_t size = 0;
  size_t count = 0;
  const char* file = elf_rawfile(elf, &size);
  if (file == nullptr || elf_getphdrnum(elf, &count) != 0) return std::nullopt;
  const std::span<const char> bytes(file, size);
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (gelf_getphdr(elf, static_cast<int>(i), &header) == nullptr) return std::nullopt;
    if (header.p_type != PT_GNU_EH_FRAME) continue;
    if (header.p_offset > size || header.p_filesz > size - header.p_offset) return std::nullopt;
    tables.index = bytes.subspan(header.p_offset, header.p_filesz);
    tables.index_address = header.p_vaddr;
    const auto address = AddressOfEhFrame(tables.index, tables.index_address);
    if (!address) return std::nullopt;
    tables.address = *address;
    const uint64_t offset = *address - header.p_vaddr + header.p_offset;
    if (offset > size) return std::nullopt;
    tables.entries = bytes.subspan(offset);
    return tables;
  }
  return std::nullopt;
}

// Those that dwfl_module_dwarf_cfi() is going to use, or nothing where that is not sure.
std::optional<CfiTables> FindDebugFrame(Dwfl_Module* module) {
  GElf_Addr bias = 0;
  Dwarf* dwarf = dwfl_module_getdwarf(module, &bias);
  Elf* elf = dwarf != nullptr ? dwarf_getelf(dwarf) : nullptr;
  if (!IsProgramOrLibrary(elf)) return std::nullopt;
  const FoundSection plain = FindSection(elf, ".debug_frame");
  const FoundSection compressed = FindSection(elf, ".zdebug_frame");
  if (plain.count + compressed.count != 1) return std::nullopt;
  Elf_Scn* section = plain.count == 1 ? plain.section : compressed.section;
  // libdw has unpacked it, where it was packed.
  return CfiTables{.entries = BytesOf(elf_getdata(section, nullptr)), .is_debug_frame = true};
}

class LibdwUnwinder final : public Unwinder {
  // The memory of the process, and what a core leaves out of it since it is in files: code.
  class CodeMemory final : public ProcessMemory {
   public:
    explicit CodeMemory(LibdwUnwinder& owner) : owner_(owner) {}
    size_t Read(uint64_t address, std::span<char> out) override {
      const size_t got = owner_.memory_.Read(address, out);
      return got == out.size() ? got : std::max(got, ReadFile(address, out));
    }

   private:
    size_t ReadFile(uint64_t address, std::span<char> out) {
      const Mapping* mapping = owner_.map_.FindMapping(address);
      Dwfl_Module* module = owner_.FindDwflModule(address);
      GElf_Addr bias = 0;
      Elf* elf = module != nullptr ? dwfl_module_getelf(module, &bias) : nullptr;
      size_t size = 0;
      const char* file = elf != nullptr && !mapping->writable ? elf_rawfile(elf, &size) : nullptr;
      const uint64_t into = file != nullptr ? address - mapping->start : 0;
      if (file == nullptr || mapping->offset >= size || into >= size - mapping->offset) return 0;
      const size_t part =
          std::min<uint64_t>({out.size(), size - mapping->offset - into, mapping->end - address});
      std::copy_n(file + mapping->offset + into, part, out.data());
      return part;
    }

    LibdwUnwinder& owner_;
  };

 public:
  LibdwUnwinder(const CoreNotes& notes, const ModuleMap& map, ProcessMemory& memory,
                ModuleFiles& files)
      : machine_(notes.machine),
        map_(map),
        memory_(memory),
        files_(files),
        pid_(notes.pid),
        code_(*this) {}

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

  ThreadStack Unwind(const ThreadState& thread, size_t limit, const Clock& clock,
                     MonotonicTime end) override {
    Walk walk{.owner = *this, .limit = limit, .clock = clock, .end = end, .start = thread};
    walk.stack.tid = thread.tid;
    const uint64_t pc = ProgramCounter(machine_, thread);
    if (!map_.IsExecutable(pc)) {
      // A call through a wild pointer: no table tells about this place, but the call has just been
      // made, so it is known where it came from.
      if (const uint64_t caller = FindCaller(thread); map_.IsExecutable(caller)) {
        walk.stack.frames.push_back({pc, false});
        StepBack(walk.start, caller);
        walk.entry = Entry::kByCall;
      }
    }
    int signals = 0;
    for (;;) {
      walk.untabled.reset();
      walk.is_at_start = true;
      walk_ = &walk;
      dwfl_getthread_frames(dwfl_.get(), 1, OnFrame, &walk);
      walk_ = nullptr;
      if (!walk.untabled) break;
      const ThreadState from = *walk.untabled;
      const auto step = StepWithoutTables(machine_, from, FindFunction(from), map_, code_);
      // A stack grows downwards, but a signal may have its own.
      if (!step || (step->was_interrupted && ++signals == kMaxSignals) ||
          (!step->was_interrupted &&
           StackPointer(machine_, step->caller) <= StackPointer(machine_, from))) {
        break;
      }
      walk.start = step->caller;
      walk.entry = step->was_interrupted ? Entry::kHere : Entry::kByCall;
    }
    if (walk.stack.frames.empty() && limit > 0) walk.stack.frames.push_back({pc, false});
    return std::move(walk.stack);
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

  // How the program came to be where a walk begins: it is there, or a call returns to there.
  enum class Entry { kHere, kByCall };

  struct Walk {
    LibdwUnwinder& owner;
    size_t limit;
    const Clock& clock;
    MonotonicTime end;
    ThreadState start;
    Entry entry = Entry::kHere;
    bool is_at_start = true;
    ThreadStack stack = {};
    // Where it ended since no table tells of the place.
    std::optional<ThreadState> untabled = std::nullopt;
    // aarch64: whether the last frame had a table, and where it is that may be told of again.
    bool comes_by_table = false;
    std::optional<uint64_t> repeatable = std::nullopt;
  };

  // Handlers that were interrupted by signals themselves; more is a stack that leads to itself.
  static constexpr int kMaxSignals = 16;

  // The address behind the call that led to where `thread` is, when it did nothing since.
  uint64_t FindCaller(const ThreadState& thread) {
    if (machine_ == Machine::kAarch64) return WithoutSignature(thread.registers[kArmDwarfLink]);
    std::array<char, 8> bytes;
    uint64_t caller = 0;
    if (memory_.ReadAll(StackPointer(machine_, thread), bytes)) {
      std::memcpy(&caller, bytes.data(), sizeof(caller));
    }
    return caller;
  }

  // The address that a signed return address of aarch64 is of. Pointer authentication signs in the
  // bits between those of an address and bit 55; addresses have 48 bits or, with small page tables,
  // 39.
  uint64_t WithoutSignature(uint64_t word) const {
    constexpr int kUserBits = 55;
    if (word >> kUserBits != 0 || map_.IsExecutable(word)) return word;
    for (const int bits : {48, 39}) {
      const uint64_t address = word & ((uint64_t{1} << bits) - 1);
      if (map_.IsExecutable(address)) return address;
    }
    return word;
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
    auto& owner = *static_cast<LibdwUnwinder*>(arg);
    std::array<char, sizeof(Dwarf_Word)> bytes;
    if (!owner.memory_.ReadAll(address, bytes)) return false;
    std::memcpy(result, bytes.data(), sizeof(*result));
    if (owner.machine_ == Machine::kAarch64) *result = owner.WithoutSignature(*result);
    return true;
  }

  static bool SetRegisters(Dwfl_Thread* thread, void* arg) {
    const auto& owner = *static_cast<LibdwUnwinder*>(arg);
    const auto& registers = owner.walk_->start.registers;
    // libdwfl takes the first frame for one that was interrupted. The tables for a call are those
    // of its last byte: what follows may be another function.
    const uint64_t pc = ProgramCounter(owner.machine_, owner.walk_->start) -
                        (owner.walk_->entry == Entry::kByCall ? 1 : 0);
    if (owner.machine_ == Machine::kAarch64) {
      dwfl_thread_state_register_pc(thread, pc);
      auto plain = registers;
      plain[kArmDwarfLink] = owner.WithoutSignature(plain[kArmDwarfLink]);
      return dwfl_thread_state_registers(thread, 0, kArmDwarfRegisters, plain.data());
    }
    std::array<Dwarf_Word, kX86DwarfOrder.size()> ordered;
    for (size_t i = 0; i < ordered.size(); ++i) ordered[i] = registers[kX86DwarfOrder[i]];
    ordered[kX86DwarfPc] = pc;
    return dwfl_thread_state_registers(thread, 0, ordered.size(), ordered.data());
  }

  // What is known of the registers of `frame`, with the others as they were at the start.
  ThreadState RegistersOf(Dwfl_Frame* frame, uint64_t pc) const {
    ThreadState thread = walk_->start;
    const bool is_arm = machine_ == Machine::kAarch64;
    const size_t count = is_arm ? kArmDwarfRegisters : kX86DwarfPc;
    for (size_t i = 0; i < count; ++i) {
      Dwarf_Word word = 0;
      if (dwfl_frame_reg(frame, static_cast<unsigned>(i), &word) != 0) continue;
      thread.registers[is_arm ? i : kX86DwarfOrder[i]] = word;
    }
    thread.registers[is_arm ? 32 : 16] = pc;
    return thread;
  }

  // Whether a table tells how to get on from an address, and whether libdw may be let near it.
  enum class Table { kNone, kFound, kRejected };

  // libdwfl asks the same tables in the same order.
  Table FindTable(uint64_t address) {
    const auto known = tables_.find(address);
    if (known != tables_.end()) return known->second;
    Table found = Table::kNone;
    if (Dwfl_Module* module = dwfl_addrmodule(dwfl_.get(), address)) {
      found = FindIn(module, dwfl_module_eh_cfi, FindEhFrame, address);
      if (found == Table::kNone) {
        found = FindIn(module, dwfl_module_dwarf_cfi, FindDebugFrame, address);
      }
    }
    return tables_[address] = found;
  }

  Table FindIn(Dwfl_Module* module, Dwarf_CFI* (*read)(Dwfl_Module*, Dwarf_Addr*),
               std::optional<CfiTables> (*find)(Dwfl_Module*), uint64_t address) {
    Dwarf_Addr bias = 0;
    Dwarf_CFI* table = read(module, &bias);
    if (table == nullptr) return Table::kNone;
    const auto [check, is_new] = checks_.try_emplace(table);
    if (is_new) {
      if (const auto tables = find(module)) check->second.emplace(*tables);
    }
    if (!check->second || !check->second->IsSound(address - bias)) return Table::kRejected;
    Dwarf_Frame* frame = nullptr;
    if (dwarf_cfi_addrframe(table, address - bias, &frame) != 0) return Table::kNone;
    std::free(frame);
    return Table::kFound;
  }

  // Where the function begins that `thread` is in.
  std::optional<uint64_t> FindFunction(const ThreadState& thread) {
    const uint64_t pc = ProgramCounter(machine_, thread);
    Dwfl_Module* module = FindDwflModule(pc);
    GElf_Off offset = 0;
    GElf_Sym symbol;
    if (module == nullptr ||
        dwfl_module_addrinfo(module, pc, &offset, &symbol, nullptr, nullptr, nullptr) == nullptr) {
      return std::nullopt;
    }
    return pc - offset;
  }

  // Whether libdwfl tells of a frame again. On aarch64 it leaves a place without tables for where
  // x30 leads; in a frame that has just been returned to, that is the place itself.
  bool IsRepeated(Walk& walk, Dwfl_Frame* frame, const StackFrame& found, bool is_by_call) {
    if (machine_ != Machine::kAarch64) return false;
    const bool is_repeated = std::exchange(walk.repeatable, std::nullopt) == found.pc;
    const bool has_table = FindTable(found.lookup()) == Table::kFound;
    Dwarf_Word link = 0;
    if (!is_repeated && !has_table && (walk.comes_by_table || is_by_call) &&
        dwfl_frame_reg(frame, kArmDwarfLink, &link) == 0 && link == found.pc) {
      walk.repeatable = found.pc;
    }
    walk.comes_by_table = has_table;
    return is_repeated;
  }

  // Adds `found` to the frames of the walk, or counts it where they are complete. Whether the walk
  // goes on.
  static bool Add(Walk& walk, const StackFrame& found) {
    const bool is_late = walk.clock.Monotonic() >= walk.end && !walk.stack.frames.empty();
    if (walk.stack.frames.size() < walk.limit && !is_late) {
      walk.stack.frames.push_back(found);
      return true;
    }
    walk.stack.more_left_out = is_late || walk.stack.left_out == kMaxCounted;
    if (walk.stack.left_out < kMaxCounted) ++walk.stack.left_out;
    return !walk.stack.more_left_out;
  }

  static int OnFrame(Dwfl_Frame* frame, void* arg) {
    auto& walk = *static_cast<Walk*>(arg);
    LibdwUnwinder& owner = walk.owner;
    const bool is_first = std::exchange(walk.is_at_start, false);
    Dwarf_Addr pc = 0;
    if (!dwfl_frame_pc(frame, &pc, nullptr)) return DWARF_CB_ABORT;
    // To tell whether a frame is an activation libdwfl steps out of it, by the table of the call
    // that left it.
    bool is_activation = is_first;
    const bool may_step = is_first || owner.FindTable(pc - 1) != Table::kRejected;
    if (may_step && !is_first) dwfl_frame_pc(frame, &pc, &is_activation);
    if (walk.entry == Entry::kByCall) ++pc;
    // What a signal handler returns to was not left by a call.
    const bool ends_signal = IsSignalReturn(owner.machine_, pc, owner.code_);
    const bool is_return = !ends_signal && (!is_activation || walk.entry == Entry::kByCall);
    const StackFrame found{pc, is_return};
    const bool is_by_call = walk.entry == Entry::kByCall;
    walk.entry = Entry::kHere;
    const Table table = may_step ? owner.FindTable(found.lookup()) : Table::kRejected;
    if (table != Table::kRejected && owner.IsRepeated(walk, frame, found, is_by_call)) {
      return DWARF_CB_OK;
    }
    if (!Add(walk, found)) return DWARF_CB_ABORT;
    // Go has tables for the place that ends a signal handler, and they are wrong.
    if (!ends_signal && table != Table::kRejected &&
        (!owner.map_.IsExecutable(pc) || table == Table::kFound ||
         owner.machine_ == Machine::kAarch64)) {
      return DWARF_CB_OK;
    }
    walk.untabled = owner.RegistersOf(frame, pc);
    return DWARF_CB_ABORT;
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
  CodeMemory code_;
  std::vector<ModuleState> modules_;
  Elf64_Ehdr header_{};
  std::unique_ptr<Elf, ElfEnd> core_;
  std::unique_ptr<Dwfl, DwflEnd> dwfl_;
  Walk* walk_ = nullptr;  // the one that libdwfl is on
  std::unordered_map<uint64_t, Table> tables_;
  std::unordered_map<Dwarf_CFI*, std::optional<CfiCheck>> checks_;
};

}  // namespace

Result<std::unique_ptr<Unwinder>> Unwinder::Create(const CoreNotes& notes, const ModuleMap& map,
                                                   ProcessMemory& memory, ModuleFiles& files) {
  auto unwinder = std::make_unique<LibdwUnwinder>(notes, map, memory, files);
  TELEM_CHECK(unwinder->Open());
  return unwinder;
}

}  // namespace telem
