// Makes the front of a core file, for tests: each register of a thread holds its own number.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace telem {

class SampleCore {
 public:
  explicit SampleCore(uint16_t machine) : machine_(machine) {}

  void AddNote(std::string_view name, uint32_t type, const std::string& content) {
    Elf64_Nhdr note{};
    note.n_namesz = static_cast<uint32_t>(name.size() + 1);
    note.n_descsz = static_cast<uint32_t>(content.size());
    note.n_type = type;
    Append(notes_, &note, sizeof(note));
    notes_ += name;
    notes_ += '\0';
    Pad();
    notes_ += content;
    Pad();
  }

  void AddThread(int32_t tid, int16_t signal) {
    const size_t registers = machine_ == EM_AARCH64 ? 34 : 27;
    std::string content(112 + registers * 8 + 8, '\0');
    std::memcpy(content.data() + 12, &signal, sizeof(signal));
    std::memcpy(content.data() + 32, &tid, sizeof(tid));
    for (uint64_t i = 0; i < registers; ++i) {
      std::memcpy(content.data() + 112 + i * 8, &i, sizeof(i));
    }
    AddNote("CORE", NT_PRSTATUS, content);
  }

  void AddName(int32_t pid, std::string_view name) {
    std::string content(136, '\0');
    std::memcpy(content.data() + 24, &pid, sizeof(pid));
    std::memcpy(content.data() + 40, name.data(), name.size());
    std::memcpy(content.data() + 56, "secret", 6);
    AddNote("CORE", NT_PRPSINFO, content);
  }

  void AddSignal(int32_t number, int32_t code, uint64_t address) {
    std::string content(128, '\0');
    std::memcpy(content.data(), &number, sizeof(number));
    std::memcpy(content.data() + 8, &code, sizeof(code));
    std::memcpy(content.data() + 16, &address, sizeof(address));
    AddNote("CORE", NT_SIGINFO, content);
  }

  void AddFile(uint64_t start, uint64_t end, uint64_t page, std::string_view path) {
    std::string content;
    for (const uint64_t word : {uint64_t{1}, uint64_t{4096}, start, end, page}) {
      Append(content, &word, sizeof(word));
    }
    content += path;
    content += '\0';
    AddNote("CORE", NT_FILE, content);
  }

  // Its memory is not in the file.
  void AddSegment(uint64_t start, uint64_t size, uint32_t flags) {
    Elf64_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_vaddr = start;
    segment.p_memsz = size;
    segment.p_flags = flags;
    segments_.push_back(segment);
  }

  std::string Bytes() const {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_CORE;
    header.e_machine = machine_;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<uint16_t>(segments_.size() + 1);
    Elf64_Phdr note{};
    note.p_type = PT_NOTE;
    note.p_offset = sizeof(header) + header.e_phnum * sizeof(Elf64_Phdr);
    note.p_filesz = notes_.size();
    std::string bytes;
    Append(bytes, &header, sizeof(header));
    Append(bytes, &note, sizeof(note));
    for (const Elf64_Phdr& segment : segments_) Append(bytes, &segment, sizeof(segment));
    return bytes + notes_;
  }

 private:
  static void Append(std::string& out, const void* bytes, size_t size) {
    out.append(static_cast<const char*>(bytes), size);
  }
  void Pad() { notes_.resize((notes_.size() + 3) & ~size_t{3}); }

  uint16_t machine_;
  std::string notes_;
  std::vector<Elf64_Phdr> segments_;
};

}  // namespace telem
