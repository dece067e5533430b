#include "unwind/module_map.h"

#include <elf.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace telem {
namespace {

constexpr std::string_view kDeleted = " (deleted)";
constexpr size_t kMaxMappings = 262'144;

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [rest, error] = std::from_chars(begin, end, value, 16);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return value;
}

// The kernel writes a newline in a name as \012, and nothing else so.
std::string Unescaped(std::string_view path) {
  std::string out(path);
  for (size_t at = 0; (at = out.find("\\012", at)) != std::string::npos; ++at) {
    out.replace(at, 4, "\n");
  }
  return out;
}

void SetPath(Mapping& mapping, std::string path) {
  if (path.ends_with(kDeleted) && path.starts_with('/')) {
    path.resize(path.size() - kDeleted.size());
    mapping.deleted = true;
  }
  mapping.path = std::move(path);
}

std::optional<Mapping> ParseLine(std::string_view line) {
  Mapping mapping;
  std::string_view range = TakeUntil(line, ' ');
  const auto start = ParseHex(TakeUntil(range, '-'));
  const auto end = ParseHex(range);
  const std::string_view rights = TakeUntil(line, ' ');
  const auto offset = ParseHex(TakeUntil(line, ' '));
  if (!start || !end || !offset || *start >= *end || rights.size() < 4) return std::nullopt;
  TakeUntil(line, ' ');  // device
  TakeUntil(line, ' ');  // inode
  mapping.start = *start;
  mapping.end = *end;
  mapping.offset = *offset;
  mapping.writable = rights[1] == 'w';
  mapping.executable = rights[2] == 'x';
  const size_t name = line.find_first_not_of(' ');
  if (name != std::string_view::npos) SetPath(mapping, Unescaped(line.substr(name)));
  return mapping;
}

bool IsFile(const Mapping& mapping) { return mapping.path.starts_with('/'); }

}  // namespace

ModuleMap::ModuleMap(std::vector<Mapping> mappings) {
  std::sort(mappings.begin(), mappings.end(),
            [](const auto& a, const auto& b) { return a.start < b.start; });
  bool has_code = false;
  bool open = false;
  uint64_t last_offset = 0;
  const auto close = [&] {
    if (open && !has_code) modules_.pop_back();
    open = has_code = false;
  };
  for (Mapping& mapping : mappings) {
    if (mapping.start >= mapping.end) continue;
    if (!mappings_.empty() && mapping.start < mappings_.back().end) continue;
    const bool is_module = IsFile(mapping) || mapping.path == kVdso;
    if (is_module) {
      // Another copy of the same file, or of a part of it, starts with earlier bytes again.
      const bool goes_on = open && modules_.back().path == mapping.path &&
                           modules_.back().deleted == mapping.deleted &&
                           mapping.offset >= last_offset && mapping.offset != 0;
      last_offset = mapping.offset;
      if (!goes_on) {
        close();
        if (modules_.size() < kMaxModules) {
          modules_.push_back(
              {mapping.path, mapping.deleted, mapping.start, mapping.end, mapping.end});
          open = true;
        }
      }
      if (open) {
        modules_.back().end = mapping.end;
        has_code = has_code || mapping.executable;
      }
    }
    mappings_.push_back(std::move(mapping));
  }
  close();
}

std::optional<size_t> ModuleMap::FindModule(uint64_t address) const {
  const auto next = std::upper_bound(modules_.begin(), modules_.end(), address,
                                     [](uint64_t a, const Module& m) { return a < m.start; });
  if (next == modules_.begin() || address >= (next - 1)->end) return std::nullopt;
  // Between the parts of a file there may be memory that is none of its.
  const Mapping* mapping = FindMapping(address);
  if (mapping == nullptr || mapping->path != (next - 1)->path) return std::nullopt;
  return static_cast<size_t>(next - modules_.begin() - 1);
}

const Mapping* ModuleMap::FindMapping(uint64_t address) const {
  const auto next = std::upper_bound(mappings_.begin(), mappings_.end(), address,
                                     [](uint64_t a, const Mapping& m) { return a < m.start; });
  if (next == mappings_.begin() || address >= (next - 1)->end) return nullptr;
  return &*(next - 1);
}

bool ModuleMap::IsExecutable(uint64_t address) const {
  const Mapping* mapping = FindMapping(address);
  return mapping != nullptr && mapping->executable;
}

std::vector<Mapping> ParseMaps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty() && mappings.size() < kMaxMappings) {
    if (auto mapping = ParseLine(TakeUntil(text, '\n'))) mappings.push_back(std::move(*mapping));
  }
  return mappings;
}

std::vector<Mapping> MappingsOf(const CoreNotes& notes) {
  std::vector<Mapping> mappings;
  std::vector<const MappedFile*> files;
  files.reserve(notes.files.size());
  for (const MappedFile& file : notes.files) files.push_back(&file);
  std::sort(files.begin(), files.end(),
            [](const auto* a, const auto* b) { return a->start < b->start; });
  const auto vdso = notes.auxv.find(AT_SYSINFO_EHDR);
  for (const CoreSegment& segment : notes.segments) {
    if (segment.start > UINT64_MAX - segment.memory_size) continue;
    Mapping mapping;
    mapping.start = segment.start;
    mapping.end = segment.start + segment.memory_size;
    mapping.executable = (segment.flags & PF_X) != 0;
    mapping.writable = (segment.flags & PF_W) != 0;
    const auto next = std::upper_bound(files.begin(), files.end(), segment.start,
                                       [](uint64_t a, const auto* f) { return a < f->start; });
    if (next != files.begin() && segment.start < (*(next - 1))->end) {
      mapping.offset = (*(next - 1))->offset + (segment.start - (*(next - 1))->start);
      SetPath(mapping, (*(next - 1))->path);
    } else if (vdso != notes.auxv.end() && vdso->second == segment.start) {
      mapping.path = kVdso;
    }
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

}  // namespace telem
