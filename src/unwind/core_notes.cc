#include "unwind/core_notes.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace telem {
namespace {

// sizeof(elf_prstatus) up to its registers, on both machines.
constexpr size_t kStatusRegisters = 112;
constexpr size_t kX86Registers = 27;
constexpr size_t kArmRegisters = 34;

// Largest notes of the kinds that are kept. Others are skipped, however large.
constexpr size_t kMaxStatusNote = 4096;
constexpr size_t kMaxSmallNote = 4096;
constexpr size_t kMaxNoteName = 64;

template <typename T>
T Load(std::span<const char> bytes, size_t offset) {
  T value{};
  if (offset <= bytes.size() && bytes.size() - offset >= sizeof(T)) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

// Counts, and remembers that the bytes came to their end.
class Reader {
 public:
  explicit Reader(ByteSource& in) : in_(in) {}

  uint64_t position() const { return position_; }
  bool ended() const { return ended_; }

  // Whether all of `out` was there.
  Result<bool> Read(std::span<char> out) {
    TELEM_TRY(const size_t got, in_.Read(out));
    position_ += got;
    if (got < out.size()) ended_ = true;
    return !ended_;
  }

  Result<bool> Skip(uint64_t size) {
    std::array<char, 16384> waste;
    while (size > 0) {
      const size_t part = std::min<uint64_t>(size, waste.size());
      TELEM_TRY(const bool whole, Read({waste.data(), part}));
      if (!whole) return false;
      size -= part;
    }
    return true;
  }

 private:
  ByteSource& in_;
  uint64_t position_ = 0;
  bool ended_ = false;
};

constexpr uint64_t Padded(uint64_t size) { return (size + 3) & ~uint64_t{3}; }

class NotesParser {
 public:
  NotesParser(ByteSource& core, CoreNotes& notes) : in_(core), notes_(notes) {}

  Status Parse() {
    TELEM_TRY(const Elf64_Ehdr header, ReadHeader());
    TELEM_CHECK(ReadProgramHeaders(header));
    for (const auto& [offset, size] : note_parts_) {
      if (in_.ended()) break;
      if (offset < in_.position()) continue;
      TELEM_TRY(const bool there, in_.Skip(offset - in_.position()));
      if (there) TELEM_CHECK(ReadNotes(offset + size));
    }
    notes_.truncated = in_.ended();
    notes_.end = in_.position();
    return {};
  }

 private:
  Result<Elf64_Ehdr> ReadHeader() {
    std::array<char, sizeof(Elf64_Ehdr)> bytes{};
    TELEM_TRY(const bool whole, in_.Read(bytes));
    if (!whole || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
      return Fail(ErrorCode::kInvalid, "this is no core file");
    }
    const auto header = Load<Elf64_Ehdr>(bytes, 0);
    if (header.e_type != ET_CORE) return Fail(ErrorCode::kInvalid, "this is no core file");
    const bool known = header.e_ident[EI_CLASS] == ELFCLASS64 &&
                       header.e_ident[EI_DATA] == ELFDATA2LSB &&
                       (header.e_machine == EM_X86_64 || header.e_machine == EM_AARCH64);
    if (!known) {
      return Fail(ErrorCode::kInvalid, "a core of another machine than x86_64 and aarch64");
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff < sizeof(Elf64_Ehdr)) {
      return Fail(ErrorCode::kInvalid, "a core file with damaged headers");
    }
    notes_.machine = header.e_machine == EM_X86_64 ? Machine::kX86_64 : Machine::kAarch64;
    return header;
  }

  Status ReadProgramHeaders(const Elf64_Ehdr& header) {
    if (header.e_phoff > kMaxNotesEnd) {
      return Fail(ErrorCode::kInvalid, "a core file with damaged headers");
    }
    TELEM_TRY(bool there, in_.Skip(header.e_phoff - in_.position()));
    uint64_t count = header.e_phnum;
    for (uint64_t i = 0; there && i < count; ++i) {
      if (i == kMaxSegments)
        return Fail(ErrorCode::kTooLarge, "a core file with too many segments");
      std::array<char, sizeof(Elf64_Phdr)> bytes{};
      TELEM_TRY(there, in_.Read(bytes));
      if (!there) break;
      const auto segment = Load<Elf64_Phdr>(bytes, 0);
      if (segment.p_type == PT_NOTE) {
        if (segment.p_offset > kMaxNotesEnd || segment.p_filesz > kMaxNotesEnd) {
          return Fail(ErrorCode::kTooLarge, "a core file with too many notes");
        }
        note_parts_.emplace_back(segment.p_offset, segment.p_filesz);
        // The true number stands at the end of the file then; but the kernel puts the notes right
        // behind the table.
        if (header.e_phnum == PN_XNUM && segment.p_offset > header.e_phoff) {
          count = (segment.p_offset - header.e_phoff) / sizeof(Elf64_Phdr);
        }
      } else if (segment.p_type == PT_LOAD) {
        notes_.segments.push_back({segment.p_vaddr, segment.p_memsz, segment.p_offset,
                                   std::min(segment.p_filesz, segment.p_memsz), segment.p_flags});
      }
    }
    return {};
  }

  // Up to the position `end`.
  Status ReadNotes(uint64_t end) {
    while (end > in_.position() && end - in_.position() >= sizeof(Elf64_Nhdr)) {
      std::array<char, sizeof(Elf64_Nhdr)> bytes{};
      TELEM_TRY(bool there, in_.Read(bytes));
      if (!there) return {};
      const auto note = Load<Elf64_Nhdr>(bytes, 0);
      const uint64_t name_size = Padded(note.n_namesz);
      const uint64_t size = Padded(note.n_descsz);
      if (name_size > end - in_.position() || size > end - in_.position() - name_size) {
        return {};  // damaged: what came before holds
      }
      std::array<char, kMaxNoteName> name{};
      if (name_size > name.size()) {
        TELEM_TRY(there, in_.Skip(name_size + size));
        if (!there) return {};
        continue;
      }
      TELEM_TRY(there, in_.Read({name.data(), name_size}));
      if (!there) return {};
      TELEM_TRY(there, ReadNote(note.n_type, std::string_view(name.data(), note.n_namesz),
                                note.n_descsz, size));
      if (!there) return {};
    }
    return {};
  }

  static size_t LimitOf(uint32_t type) {
    switch (type) {
      case NT_PRSTATUS:
        return kMaxStatusNote;
      case NT_PRPSINFO:
      case NT_SIGINFO:
      case NT_AUXV:
        return kMaxSmallNote;
      case NT_FILE:
        return kMaxFileNote;
      default:
        return 0;
    }
  }

  Result<bool> ReadNote(uint32_t type, std::string_view name, uint64_t size, uint64_t padded_size) {
    const bool is_core = name == std::string_view("CORE\0", 5);
    if (!is_core || padded_size > LimitOf(type)) return in_.Skip(padded_size);
    std::vector<char> bytes(padded_size);
    TELEM_TRY(const bool whole, in_.Read(bytes));
    if (!whole) return false;
    const std::span<const char> content(bytes.data(), size);
    switch (type) {
      case NT_PRSTATUS:
        AddThread(content);
        break;
      case NT_PRPSINFO:
        notes_.pid = Load<int32_t>(content, 24);
        if (content.size() >= 56) {
          // The arguments follow; they are not ours to look at.
          notes_.command.assign(content.data() + 40, ::strnlen(content.data() + 40, 16));
        }
        break;
      case NT_SIGINFO:
        if (content.size() >= 24) {
          notes_.signal_info = SignalInfo{Load<int32_t>(content, 0), Load<int32_t>(content, 8),
                                          Load<uint64_t>(content, 16)};
        }
        break;
      case NT_AUXV:
        notes_.auxv = ParseAuxv(content);
        break;
      default:
        AddFiles(content);
    }
    return true;
  }

  void AddThread(std::span<const char> content) {
    const size_t count = notes_.machine == Machine::kX86_64 ? kX86Registers : kArmRegisters;
    if (content.size() < kStatusRegisters + count * sizeof(uint64_t)) return;
    if (notes_.threads.size() == kMaxThreads) {
      ++notes_.threads_left_out;
      return;
    }
    ThreadState thread;
    thread.signal = Load<int16_t>(content, 12);
    thread.tid = Load<int32_t>(content, 32);
    std::memcpy(thread.registers.data(), content.data() + kStatusRegisters,
                count * sizeof(uint64_t));
    notes_.threads.push_back(thread);
  }

  void AddFiles(std::span<const char> content) {
    const auto count = Load<uint64_t>(content, 0);
    const auto page = Load<uint64_t>(content, 8);
    constexpr size_t kHead = 16;
    constexpr size_t kEntry = 24;
    if (content.size() < kHead || count > (content.size() - kHead) / kEntry) return;
    const std::string_view names(content.data() + kHead + count * kEntry,
                                 content.size() - kHead - count * kEntry);
    size_t name = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t end = names.find('\0', name);
      if (end == std::string_view::npos) return;
      const size_t at = kHead + i * kEntry;
      notes_.files.push_back({Load<uint64_t>(content, at), Load<uint64_t>(content, at + 8),
                              Load<uint64_t>(content, at + 16) * page,
                              std::string(names.substr(name, end - name))});
      name = end + 1;
    }
  }

  Reader in_;
  CoreNotes& notes_;
  std::vector<std::pair<uint64_t, uint64_t>> note_parts_;  // offset and size
};

constexpr std::array<const char*, kX86Registers> kX86Names = {
    "r15",   "r14", "r13",   "r12",   "rbp",   "rbx",   "r11",   "r10",   "r9",
    "r8",    "rax", "rcx",   "rdx",   "rsi",   "rdi",   nullptr, "rip",   nullptr,
    nullptr, "rsp", nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
constexpr std::array<const char*, kArmRegisters> kArmNames = {
    "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",  "x9",   "x10", "x11",
    "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21",  "x22", "x23",
    "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp",  "pc",  nullptr};

}  // namespace

Result<size_t> FdSource::Read(std::span<char> out) {
  constexpr size_t kAhead = size_t{64} * 1024;  // what a pipe holds
  size_t done = 0;
  while (done < out.size()) {
    if (used_ < ahead_.size()) {
      const size_t part = std::min(out.size() - done, ahead_.size() - used_);
      std::copy_n(ahead_.data() + used_, part, out.data() + done);
      used_ += part;
      done += part;
      continue;
    }
    ahead_.resize(kAhead);
    used_ = 0;
    const ssize_t got = ::read(fd_, ahead_.data(), ahead_.size());
    const int error = errno;
    ahead_.resize(got > 0 ? static_cast<size_t>(got) : 0);
    if (got < 0 && error == EINTR) continue;
    if (got < 0) return SystemError("read the core", error);
    if (got == 0) break;
    if (keeps_copy_) copy_.append(ahead_.data(), ahead_.size());
  }
  return done;
}

Result<size_t> SpanSource::Read(std::span<char> out) {
  const size_t size = std::min(out.size(), rest_.size());
  std::copy_n(rest_.begin(), size, out.begin());
  rest_ = rest_.subspan(size);
  return size;
}

bool SignalInfo::HasAddress() const {
  // Codes of 0 and below, and SI_KERNEL, come without an address (sigaction(2)).
  const bool is_fault = number == SIGSEGV || number == SIGBUS || number == SIGILL ||
                        number == SIGFPE || number == SIGTRAP;
  return is_fault && code > 0 && code != SI_KERNEL;
}

int CoreNotes::signal() const {
  if (signal_info) return signal_info->number;
  return threads.empty() ? 0 : threads.front().signal;
}

Result<CoreNotes> ReadCoreNotes(ByteSource& core) {
  CoreNotes notes;
  TELEM_CHECK(NotesParser(core, notes).Parse());
  return notes;
}

std::map<uint64_t, uint64_t> ParseAuxv(std::span<const char> content) {
  std::map<uint64_t, uint64_t> values;
  for (size_t at = 0; at + 16 <= content.size(); at += 16) {
    values[Load<uint64_t>(content, at)] = Load<uint64_t>(content, at + 8);
  }
  return values;
}

uint64_t ProgramCounter(Machine machine, const ThreadState& thread) {
  return thread.registers[machine == Machine::kX86_64 ? 16 : 32];
}

uint64_t StackPointer(Machine machine, const ThreadState& thread) {
  return thread.registers[machine == Machine::kX86_64 ? 19 : 31];
}

std::span<const char* const> RegisterNames(Machine machine) {
  if (machine == Machine::kX86_64) return kX86Names;
  return kArmNames;
}

}  // namespace telem
