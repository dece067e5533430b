#include "unwind/elf_image.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxNotes = 4096;
constexpr uint32_t kPackageMetadata = 0xcafe1a7e;  // systemd.io/ELF_PACKAGE_METADATA

// Where the image starts and whether it is one.
std::optional<Elf64_Ehdr> ReadHeader(ProcessMemory& memory, uint64_t start) {
  std::array<char, sizeof(Elf64_Ehdr)> bytes;
  if (!memory.ReadAll(start, bytes)) return std::nullopt;
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const bool is_known = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
                        header.e_ident[EI_CLASS] == ELFCLASS64 &&
                        header.e_phentsize == sizeof(Elf64_Phdr) && header.e_phnum > 0 &&
                        header.e_phnum <= kMaxHeaders;
  if (!is_known) return std::nullopt;
  return header;
}

// Empty where they cannot be read.
std::vector<Elf64_Phdr> ReadSegments(ProcessMemory& memory, uint64_t start,
                                     const Elf64_Ehdr& header) {
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  const std::span<char> table(reinterpret_cast<char*>(segments.data()),
                              segments.size() * sizeof(Elf64_Phdr));
  if (!memory.ReadAll(start + header.e_phoff, table)) segments.clear();
  return segments;
}

void TakeNotes(std::span<const char> notes, ElfFacts& facts) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof(note));
    notes = notes.subspan(sizeof(note));
    const uint64_t name_size = (uint64_t{note.n_namesz} + 3) & ~uint64_t{3};
    const uint64_t size = (uint64_t{note.n_descsz} + 3) & ~uint64_t{3};
    if (name_size + size > notes.size()) return;
    const std::string_view name(notes.data(), note.n_namesz);
    const std::string_view content(notes.data() + name_size, note.n_descsz);
    if (note.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU\0", 4) &&
        content.size() <= 64 && facts.build_id.empty()) {
      AppendHex(facts.build_id, reinterpret_cast<const unsigned char*>(content.data()),
                content.size());
    } else if (note.n_type == kPackageMetadata && name == std::string_view("FDO\0", 4)) {
      facts.package = content.substr(0, content.find('\0'));
    }
    notes = notes.subspan(name_size + size);
  }
}

}  // namespace

ElfFacts ReadElfFacts(ProcessMemory& memory, uint64_t address) {
  ElfFacts facts;
  const auto header = ReadHeader(memory, address);
  if (!header) return facts;
  bool has_first = false;
  const std::vector<Elf64_Phdr> segments = ReadSegments(memory, address, *header);
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD || has_first) continue;
    facts.first_address = segment.p_vaddr - segment.p_offset;
    has_first = true;
  }
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE) continue;
    std::vector<char> bytes(std::min<uint64_t>(segment.p_filesz, kMaxNotes));
    bytes.resize(memory.Read(address + (segment.p_vaddr - facts.first_address), bytes));
    TakeNotes(bytes, facts);
  }
  return facts;
}

std::vector<char> ReadElfImage(ProcessMemory& memory, uint64_t start, uint64_t end) {
  const auto found = ReadHeader(memory, start);
  if (!found || found->e_phoff > end - start) return {};
  Elf64_Ehdr header = *found;
  std::vector<char> image;
  std::optional<uint64_t> bias;  // what is added to an address in the file
  for (const Elf64_Phdr& segment : ReadSegments(memory, start, header)) {
    if (segment.p_type != PT_LOAD) continue;
    if (!bias) bias = start - (segment.p_vaddr - segment.p_offset);
    if (segment.p_offset > kMaxElfImage || segment.p_filesz > kMaxElfImage - segment.p_offset) {
      return {};
    }
    const size_t needed = segment.p_offset + segment.p_filesz;
    if (image.size() < needed) image.resize(needed);
    const std::span<char> part(image.data() + segment.p_offset, segment.p_filesz);
    const size_t got = memory.Read(*bias + segment.p_vaddr, part);
    // Data that has changed since does not matter, code that is missing does.
    if (got < part.size() && (segment.p_flags & PF_X) != 0) return {};
  }
  if (image.size() < sizeof(header)) return {};
  const uint64_t sections = uint64_t{header.e_shnum} * sizeof(Elf64_Shdr);
  if (header.e_shoff > image.size() || sections > image.size() - header.e_shoff) {
    header.e_shoff = 0;
    header.e_shnum = header.e_shstrndx = 0;
    std::memcpy(image.data(), &header, sizeof(header));
  }
  return image;
}

}  // namespace telem
