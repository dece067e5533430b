#include "unwind/symbolizer.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <span>

#include "base/text.h"
#include "unwind/demangle.h"

namespace telem {
namespace {

using Addresses = std::span<const uint64_t>;  // sorted

Addresses Within(Addresses all, uint64_t start, uint64_t end) {
  const auto first = std::lower_bound(all.begin(), all.end(), start);
  const auto last = std::lower_bound(first, all.end(), end);
  return all.subspan(static_cast<size_t>(first - all.begin()), static_cast<size_t>(last - first));
}

// Symbol tables

struct Candidate {
  std::string_view name;
  uint64_t start = 0;
  int rank = 0;

  // Where several symbols cover an address: the innermost, then the one that the outside knows.
  bool IsBetterThan(const Candidate& other) const {
    if (name.empty() || other.name.empty()) return !name.empty();
    if (start != other.start) return start > other.start;
    return rank > other.rank;
  }
};

int RankOf(const GElf_Sym& symbol, std::string_view name) {
  const int binding = GELF_ST_BIND(symbol.st_info);
  int rank = binding == STB_GLOBAL ? 20 : binding == STB_WEAK ? 15 : 10;
  if (GELF_ST_TYPE(symbol.st_info) != STT_NOTYPE) rank += 30;
  // Of several names for one place, those for insiders begin with underscores.
  return rank - static_cast<int>(std::min<size_t>(name.find_first_not_of('_'), 4));
}

bool IsCode(const GElf_Sym& symbol) {
  const int type = GELF_ST_TYPE(symbol.st_info);
  return symbol.st_shndx != SHN_UNDEF &&
         (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

// `addresses` to the name of the symbol that covers each.
std::map<uint64_t, std::string> FindSymbols(Dwfl_Module* module, Addresses addresses) {
  std::vector<Candidate> best(addresses.size());
  // A label without a size names what follows it, up to the next one. Kept at the first address
  // behind it.
  std::vector<Candidate> labels(addresses.size());
  const auto offer = [](const Candidate& candidate, Candidate& place) {
    if (candidate.IsBetterThan(place)) place = candidate;
  };
  const int count = dwfl_module_getsymtab(module);
  for (int i = 1; i < count; ++i) {
    GElf_Sym symbol;
    GElf_Addr start = 0;
    const char* text =
        dwfl_module_getsym_info(module, i, &symbol, &start, nullptr, nullptr, nullptr);
    if (text == nullptr || *text == '\0' || *text == '$' || !IsCode(symbol)) continue;
    const bool is_label = symbol.st_size == 0;
    const uint64_t end = is_label ? UINT64_MAX : start + symbol.st_size;
    const Addresses covered = Within(addresses, start, end);
    if (covered.empty()) continue;
    const Candidate candidate{text, start, RankOf(symbol, text)};
    const size_t first = static_cast<size_t>(covered.data() - addresses.data());
    if (is_label) {
      offer(candidate, labels[first]);
      continue;
    }
    for (size_t at = first; at < first + covered.size(); ++at) offer(candidate, best[at]);
  }
  std::map<uint64_t, std::string> names;
  Candidate label;
  for (size_t i = 0; i < best.size(); ++i) {
    offer(labels[i], label);
    const Candidate& chosen = best[i].name.empty() ? label : best[i];
    if (!chosen.name.empty()) names.emplace(addresses[i], chosen.name);
  }
  return names;
}

// DWARF

// The name that a linker sees, where there is one: it tells namespaces and argument types.
const char* LinkageName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, name, &attribute) != nullptr) {
      return dwarf_formstring(&attribute);
    }
  }
  return nullptr;
}

std::string TextOf(const char* text) { return text != nullptr ? text : ""; }

bool IsCpp(Dwarf_Die& unit) {
  switch (dwarf_srclang(&unit)) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
      return true;
    default:
      return false;
  }
}

// The name of what stands around a function of C++; empty where it has none to give.
std::string NameOfScope(Dwarf_Die* scope) {
  std::string name = TextOf(dwarf_diename(scope));
  switch (dwarf_tag(scope)) {
    case DW_TAG_namespace:
      return name.empty() ? "(anonymous namespace)" : name;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
      // GCC's "<lambda(int)>" is "{lambda(int)#1}" where a linker names it.
      if (name.starts_with("<lambda") && name.ends_with('>')) {
        return "{" + name.substr(1, name.size() - 2) + "}";
      }
      return name;
    case DW_TAG_subprogram:
      return name;
    default:
      return "";
  }
}

// Of a function of C++ that no linker names: some inlined ones. By what stands around it.
std::string QualifiedName(Dwarf_Die function) {
  Dwarf_Attribute attribute;
  Dwarf_Die origin = function;
  // What stands around it does so where it is declared.
  constexpr int kMaxSteps = 8;
  for (int i = 0; i < kMaxSteps; ++i) {
    const bool leads_on = dwarf_attr(&origin, DW_AT_abstract_origin, &attribute) != nullptr ||
                          dwarf_attr(&origin, DW_AT_specification, &attribute) != nullptr;
    if (!leads_on || dwarf_formref_die(&attribute, &origin) == nullptr) break;
  }
  std::string name = TextOf(dwarf_diename(&function));
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(&origin, &scopes);
  const std::unique_ptr<Dwarf_Die, decltype(&std::free)> owned(scopes, &std::free);
  for (int i = 1; i < count; ++i) {
    const char* linkage =
        dwarf_tag(&scopes[i]) == DW_TAG_subprogram ? LinkageName(&scopes[i]) : nullptr;
    std::string scope = linkage != nullptr ? Demangle(linkage) : NameOfScope(&scopes[i]);
    // Some lambdas have a type without a name.
    if (scope.empty() && name == "operator()" && dwarf_tag(&scopes[i]) == DW_TAG_structure_type) {
      scope = "{lambda}";
    }
    if (!scope.empty()) name.insert(0, scope + "::");
    if (linkage != nullptr) break;  // it names what stands around itself, too
  }
  return name;
}

// Build folders say who built; what is below /usr (and Rust's own /rustc) is the same for everyone.
std::string ShownSource(std::string_view file, std::string_view folder) {
  if (!folder.empty() && file.size() > folder.size() && file.starts_with(folder) &&
      file[folder.size()] == '/') {
    file.remove_prefix(folder.size() + 1);
  }
  while (file.starts_with("./")) file.remove_prefix(2);
  const bool is_public =
      !file.starts_with('/') || file.starts_with("/usr/") || file.starts_with("/rustc/");
  if (!is_public || file.contains("..")) file.remove_prefix(file.rfind('/') + 1);
  return std::string(file);
}

// One step of the way from a function into what was inlined into it.
struct Scope {
  Dwarf_Die die;
  bool is_function;
};

class UnitReader {
 public:
  UnitReader(Dwarf_Die unit, uint64_t bias, std::unordered_map<uint64_t, Location>& out)
      : unit_(unit), bias_(bias), out_(out) {
    Dwarf_Attribute attribute;
    folder_ = TextOf(dwarf_formstring(dwarf_attr(&unit_, DW_AT_comp_dir, &attribute)));
    is_cpp_ = IsCpp(unit_);
  }

  // `addresses` as DWARF counts them.
  void Read(Addresses addresses) {
    std::vector<Scope> scopes;
    Visit(unit_, addresses, scopes, 0);
  }

 private:
  static constexpr int kMaxDepth = 256;

  void Visit(Dwarf_Die parent, Addresses addresses, std::vector<Scope>& scopes, int depth) {
    Dwarf_Die die;
    if (depth == kMaxDepth || dwarf_child(&parent, &die) != 0) return;
    do {
      switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram:
        case DW_TAG_inlined_subroutine:
        case DW_TAG_lexical_block:
        case DW_TAG_entry_point:
          VisitCode(die, addresses, scopes, depth);
          break;
        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
          // Functions may be written out inside; these have no address of their own.
          if (scopes.empty()) Visit(die, addresses, scopes, depth + 1);
          break;
        default:
          break;
      }
    } while (dwarf_siblingof(&die, &die) == 0);
  }

  void VisitCode(Dwarf_Die die, Addresses addresses, std::vector<Scope>& scopes, int depth) {
    const bool is_block = dwarf_tag(&die) == DW_TAG_lexical_block;
    ptrdiff_t next = 0;
    Dwarf_Addr base = 0;
    Dwarf_Addr start = 0;
    Dwarf_Addr end = 0;
    while ((next = dwarf_ranges(&die, next, &base, &start, &end)) > 0) {
      const Addresses covered = Within(addresses, start, end);
      if (covered.empty()) continue;
      if (!is_block) {
        scopes.push_back({die, dwarf_tag(&die) == DW_TAG_subprogram});
        for (const uint64_t address : covered) Name(address, scopes);
      }
      Visit(die, covered, scopes, depth + 1);
      if (!is_block) scopes.pop_back();
    }
  }

  // The scopes found so far, outermost first. Called again when a narrower one is found.
  void Name(uint64_t address, const std::vector<Scope>& scopes) {
    Location& location = out_[address + bias_];
    location.functions.clear();
    // The first place is what the line table says of the address itself; each other one is where
    // the former function was called from.
    SourceFrame place;
    SetLine(address, place);
    for (size_t i = scopes.size(); i-- > 0;) {
      Dwarf_Die die = scopes[i].die;
      SourceFrame frame = std::move(place);
      const char* linkage = LinkageName(&die);
      frame.function = linkage != nullptr ? Demangle(linkage)
                       : is_cpp_          ? QualifiedName(die)
                                          : TextOf(dwarf_diename(&die));
      location.functions.push_back(std::move(frame));
      if (scopes[i].is_function) break;
      place = CallPlace(die);
    }
  }

  void SetLine(uint64_t address, SourceFrame& frame) {
    Dwarf_Line* line = dwarf_getsrc_die(&unit_, address);
    if (line == nullptr) return;
    frame.file = ShownSource(TextOf(dwarf_linesrc(line, nullptr, nullptr)), folder_);
    dwarf_lineno(line, &frame.line);
  }

  SourceFrame CallPlace(Dwarf_Die& inlined) {
    SourceFrame place;
    Dwarf_Attribute attribute;
    Dwarf_Word number = 0;
    if (dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_line, &attribute), &number) == 0) {
      place.line = static_cast<int>(std::min<Dwarf_Word>(number, INT32_MAX));
    }
    Dwarf_Files* files = nullptr;
    size_t count = 0;
    if (dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_file, &attribute), &number) == 0 &&
        dwarf_getsrcfiles(&unit_, &files, &count) == 0 && number < count) {
      place.file = ShownSource(TextOf(dwarf_filesrc(files, number, nullptr, nullptr)), folder_);
    }
    return place;
  }

  Dwarf_Die unit_;
  uint64_t bias_;
  std::unordered_map<uint64_t, Location>& out_;
  std::string folder_;
  bool is_cpp_ = false;
};

// Debian's debug files share what they have in common in one more file (dwz).
void AttachSharedDwarf(Dwarf* dwarf, ModuleFiles& files, size_t module) {
  const char* name = nullptr;
  const void* id = nullptr;
  const ssize_t size = dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id);
  if (size <= 0 || size > 64) return;
  std::string build_id;
  AppendHex(build_id, static_cast<const unsigned char*>(id), static_cast<size_t>(size));
  UniqueFd file = files.OpenDebugFile(module, build_id, "");
  if (!file.valid()) return;
  // Both stay until the process ends: libdw frees no such file by itself.
  if (Dwarf* shared = dwarf_begin(file.Release(), DWARF_C_READ)) dwarf_setalt(dwarf, shared);
}

}  // namespace

void Symbolizer::LookUpSymbols(std::vector<uint64_t> addresses) {
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  std::map<size_t, std::vector<uint64_t>> by_module;
  for (const uint64_t address : addresses) {
    locations_[address].functions.resize(1);
    if (const auto index = unwinder_.map().FindModule(address)) {
      by_module[*index].push_back(address);
    }
  }
  for (auto& [index, in_module] : by_module) {
    Dwfl_Module* module = unwinder_.FindDwflModule(in_module.front());
    if (module == nullptr) continue;
    std::map<uint64_t, std::string> symbols = FindSymbols(module, in_module);
    modules_.push_back({index, module, std::move(in_module), std::move(symbols)});
    AddSymbols(modules_.back());
  }
}

void Symbolizer::LookUpDwarf() {
  for (const InModule& in : modules_) {
    LookUpDwarf(in);
    AddSymbols(in);
  }
}

void Symbolizer::LookUpDwarf(const InModule& in) {
  Dwarf_Addr bias = 0;
  Dwarf* dwarf = HasTime() ? dwfl_module_getdwarf(in.module, &bias) : nullptr;
  if (dwarf != nullptr) {
    AttachSharedDwarf(dwarf, unwinder_.files(), in.index);
    std::vector<uint64_t> in_dwarf;
    in_dwarf.reserve(in.addresses.size());
    for (const uint64_t address : in.addresses) in_dwarf.push_back(address - bias);
    Dwarf_CU* unit = nullptr;
    Dwarf_Die unit_die;
    Dwarf_Die split_die;
    uint8_t type = 0;
    while (HasTime() &&
           dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &unit_die, &split_die) == 0) {
      ptrdiff_t next = 0;
      Dwarf_Addr base = 0;
      Dwarf_Addr start = 0;
      Dwarf_Addr end = 0;
      std::vector<uint64_t> covered;
      while ((next = dwarf_ranges(&unit_die, next, &base, &start, &end)) > 0) {
        const Addresses part = Within(in_dwarf, start, end);
        covered.insert(covered.end(), part.begin(), part.end());
      }
      if (covered.empty()) continue;
      std::sort(covered.begin(), covered.end());
      covered.erase(std::unique(covered.begin(), covered.end()), covered.end());
      UnitReader(unit_die, bias, locations_).Read(covered);
    }
  }
}

void Symbolizer::AddSymbols(const InModule& in) {
  for (const auto& [address, symbol] : in.symbols) {
    SourceFrame& outermost = locations_[address].functions.back();
    // DWARF may know a function of C++ without its namespace; the symbol table does not lose it.
    const bool is_mangled = symbol.starts_with("_Z") || symbol.starts_with("_R");
    if (outermost.function.empty() || (is_mangled && !outermost.function.contains("("))) {
      outermost.function = Demangle(symbol);
    }
  }
}

const Location& Symbolizer::Find(uint64_t address) const {
  static const Location kUnknown{{SourceFrame{}}};
  const auto found = locations_.find(address);
  return found == locations_.end() ? kUnknown : found->second;
}

}  // namespace telem
