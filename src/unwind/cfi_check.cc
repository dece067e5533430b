#include "unwind/cfi_check.h"

#include <dwarf.h>

#include <cstring>
#include <string_view>

namespace telem {
namespace {

// In 6.6 million programs of 7,000 programs and libraries the longest has 33,659 bytes, and never
// is more than one state remembered at a time.
constexpr size_t kMaxProgram = size_t{128} * 1024;
constexpr size_t kMaxRemembered = 16;
// Compilers name registers up to 32 there. The last that have DWARF numbers are z31 of aarch64 with
// 127, and r31 of x86-64 with 145.
constexpr uint64_t kRegisters = 160;
// Of tables without an index; that of a large program in Go has 2 MB. libdw keeps some hundred
// bytes for each entry that it meets.
constexpr size_t kMaxUnindexed = size_t{16} * 1024 * 1024;

constexpr uint8_t kForm = 0x0f;  // of an encoding: what a value is like
constexpr uint32_t kLongLength = 0xffffffff;
constexpr uint32_t kDebugFrameCie = 0xffffffff;

// Bytes of a value with a fixed size; 0 for others, which no linker writes where we ask.
size_t SizeOf(uint8_t encoding) {
  if (encoding == DW_EH_PE_omit || (encoding & 0x70) == DW_EH_PE_aligned) return 0;
  switch (encoding & kForm) {
    case DW_EH_PE_udata2:
    case DW_EH_PE_sdata2:
      return 2;
    case DW_EH_PE_udata4:
    case DW_EH_PE_sdata4:
      return 4;
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
      return 8;
    default:
      return 0;
  }
}

// Reads from the front; behind the end it fails, and stays so.
class Cursor {
 public:
  explicit Cursor(std::span<const char> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  std::span<const char> rest() const { return rest_; }

  std::span<const char> Skip(uint64_t count) {
    ok_ = ok_ && count <= rest_.size();
    if (!ok_) return {};
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }

  template <typename T>
  T Take() {
    T value{};
    if (const auto bytes = Skip(sizeof(T)); ok_) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  // A signed one has the same bytes.
  uint64_t TakeLeb128() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && ok_; shift += 7) {
      const auto byte = Take<uint8_t>();
      value |= uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }

  // Sign-extended where `size` is 4.
  uint64_t TakeSigned(size_t size) {
    return size == 4 ? static_cast<uint64_t>(int64_t{Take<int32_t>()}) : Take<uint64_t>();
  }

  std::string_view TakeString() {
    const std::string_view text(rest_.data(), rest_.size());
    const size_t end = text.find('\0');
    ok_ = ok_ && end != std::string_view::npos;
    if (!ok_) return {};
    Skip(end + 1);
    return text.substr(0, end);
  }

 private:
  std::span<const char> rest_;
  bool ok_ = true;
};

// What follows an instruction, in order: r register, n number, b block, p address, else so many
// bytes. Null for an instruction that nobody knows.
const char* OperandsOf(uint8_t instruction) {
  switch (instruction & 0xc0) {
    case DW_CFA_advance_loc:
    case DW_CFA_restore:
      return "";
    case DW_CFA_offset:
      return "n";
    default:
      break;
  }
  switch (instruction) {
    case DW_CFA_nop:
    case DW_CFA_remember_state:
    case DW_CFA_restore_state:
    case DW_CFA_GNU_window_save:  // on aarch64: negate_ra_state
      return "";
    case DW_CFA_set_loc:
      return "p";
    case DW_CFA_advance_loc1:
      return "1";
    case DW_CFA_advance_loc2:
      return "2";
    case DW_CFA_advance_loc4:
      return "4";
    case DW_CFA_MIPS_advance_loc8:
      return "8";
    case DW_CFA_restore_extended:
    case DW_CFA_undefined:
    case DW_CFA_same_value:
    case DW_CFA_def_cfa_register:
      return "r";
    case DW_CFA_register:
      return "rr";
    case DW_CFA_offset_extended:
    case DW_CFA_offset_extended_sf:
    case DW_CFA_def_cfa:
    case DW_CFA_def_cfa_sf:
    case DW_CFA_val_offset:
    case DW_CFA_val_offset_sf:
    case DW_CFA_GNU_negative_offset_extended:
      return "rn";
    case DW_CFA_def_cfa_offset:
    case DW_CFA_def_cfa_offset_sf:
    case DW_CFA_GNU_args_size:
      return "n";
    case DW_CFA_def_cfa_expression:
      return "b";
    case DW_CFA_expression:
    case DW_CFA_val_expression:
      return "rb";
    default:
      return nullptr;
  }
}

bool IsSoundProgram(std::span<const char> program, size_t address_size) {
  if (program.size() > kMaxProgram) return false;
  size_t remembered = 0;
  for (Cursor in(program); !in.rest().empty();) {
    const auto instruction = in.Take<uint8_t>();
    const char* operands = OperandsOf(instruction);
    if (operands == nullptr) return false;
    for (; *operands != '\0'; ++operands) {
      switch (*operands) {
        case 'r':
          if (in.TakeLeb128() >= kRegisters) return false;
          break;
        case 'n':
          in.TakeLeb128();
          break;
        case 'b':
          in.Skip(in.TakeLeb128());
          break;
        case 'p':
          in.Skip(address_size);
          break;
        default:
          in.Skip(static_cast<size_t>(*operands - '0'));
      }
    }
    if (!in.ok()) return false;
    if (instruction == DW_CFA_remember_state && ++remembered > kMaxRemembered) return false;
    if (instruction == DW_CFA_restore_state && remembered > 0) --remembered;
  }
  return true;
}

// One entry of the tables.
struct Entry {
  enum class Kind { kCie, kFunction, kEnd };
  Kind kind = Kind::kEnd;
  uint64_t cie = 0;               // of kFunction: where its CIE is
  std::span<const char> content;  // behind that
  uint64_t next = 0;
};

// Nothing where it is broken, or has the length of 64 bits that no linker writes.
std::optional<Entry> ReadEntry(const CfiTables& tables, uint64_t at) {
  if (at > tables.entries.size()) return std::nullopt;
  Cursor in(tables.entries.subspan(at));
  const auto length = in.Take<uint32_t>();
  Entry entry;
  if (in.ok() && length == 0) return entry;
  Cursor content(in.Skip(length));
  const auto id = content.Take<uint32_t>();
  if (!in.ok() || !content.ok() || length == kLongLength) return std::nullopt;
  entry.content = content.rest();
  entry.next = at + sizeof(length) + length;
  if (id == (tables.is_debug_frame ? kDebugFrameCie : 0)) {
    entry.kind = Entry::Kind::kCie;
    return entry;
  }
  entry.kind = Entry::Kind::kFunction;
  // In .eh_frame it is counted back from where it stands.
  const uint64_t here = at + sizeof(length);
  if (!tables.is_debug_frame && id > here) return std::nullopt;
  entry.cie = tables.is_debug_frame ? id : here - id;
  return entry;
}

struct Index {
  uint64_t eh_frame = 0;
  // Of each function: where it begins and where its entry is, counted from the index.
  std::span<const char> pairs;
  uint64_t count = 0;
  size_t value_size = 0;
};

// Nothing where it is not as linkers write it.
std::optional<Index> ReadIndex(std::span<const char> bytes, uint64_t address) {
  Cursor in(bytes);
  const auto version = in.Take<uint8_t>();
  const auto pointer = in.Take<uint8_t>();
  const auto count = in.Take<uint8_t>();
  const auto pairs = in.Take<uint8_t>();
  Index index;
  const auto is_signed = [](uint8_t encoding) {
    return (encoding & kForm) == DW_EH_PE_sdata4 || (encoding & kForm) == DW_EH_PE_sdata8;
  };
  if (version != 1 || (pointer & ~kForm) != DW_EH_PE_pcrel || !is_signed(pointer)) {
    return std::nullopt;
  }
  index.eh_frame = address + 4 + in.TakeSigned(SizeOf(pointer));
  if (!in.ok()) return std::nullopt;
  if (count == DW_EH_PE_omit || pairs == DW_EH_PE_omit) return index;
  if (count != DW_EH_PE_udata4 || (pairs & ~kForm) != DW_EH_PE_datarel || !is_signed(pairs)) {
    return std::nullopt;
  }
  index.count = in.Take<uint32_t>();
  index.value_size = SizeOf(pairs);
  index.pairs = in.Skip(2 * index.value_size * index.count);
  if (!in.ok()) return std::nullopt;
  return index;
}

// Where libdw looks for the entry of `address`, counted from the start of .eh_frame. The search is
// as its is: in a table that is not sorted others end elsewhere.
std::optional<uint64_t> Search(const Index& index, const CfiTables& tables, uint64_t address) {
  const auto value = [&](uint64_t i) {
    Cursor in(index.pairs.subspan(i * index.value_size));
    return tables.index_address + in.TakeSigned(index.value_size);
  };
  uint64_t low = 0;
  uint64_t high = index.count;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    if (address < value(2 * middle)) {
      high = middle;
    } else if (middle + 1 < index.count && address >= value(2 * middle + 2)) {
      low = middle + 1;
    } else {
      return value(2 * middle + 1) - tables.address;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> AddressOfEhFrame(std::span<const char> index, uint64_t index_address) {
  const auto read = ReadIndex(index, index_address);
  if (!read) return std::nullopt;
  return read->eh_frame;
}

bool CfiCheck::IsSound(uint64_t address) {
  if (!tables_.index.empty()) {
    const auto index = ReadIndex(tables_.index, tables_.index_address);
    if (!index) return false;
    // libdw goes without an index that has nothing, or is that of others.
    if (index->count > 0 && index->eh_frame == tables_.address) {
      const auto at = Search(*index, tables_, address);
      // Also where it turns out to be about other addresses: libdw keeps it for those.
      return !at || IsSoundEntry(*at);
    }
  }
  // libdw reads from the front until it is there, and keeps all that it has met.
  if (!are_all_sound_) are_all_sound_ = AreAllSound();
  return *are_all_sound_;
}

bool CfiCheck::AreAllSound() {
  if (tables_.entries.size() > kMaxUnindexed) return false;
  for (uint64_t at = 0; at < tables_.entries.size();) {
    const auto entry = ReadEntry(tables_, at);
    if (!entry) return false;
    if (entry->kind == Entry::Kind::kEnd) return true;
    if (entry->kind == Entry::Kind::kCie ? !FindCie(at) : !IsSoundEntry(at)) return false;
    at = entry->next;
  }
  return true;
}

bool CfiCheck::IsSoundEntry(uint64_t at) {
  const auto entry = ReadEntry(tables_, at);
  if (!entry || entry->kind != Entry::Kind::kFunction) return false;
  const auto& cie = FindCie(entry->cie);
  if (!cie) return false;
  Cursor in(entry->content);
  in.Skip(2 * cie->address_size);  // where the function begins, and how long it is
  if (cie->has_augmentation) in.Skip(in.TakeLeb128());
  return in.ok() && IsSoundProgram(in.rest(), cie->address_size);
}

const std::optional<CfiCheck::Cie>& CfiCheck::FindCie(uint64_t at) {
  const auto [found, is_new] = cies_.try_emplace(at);
  if (is_new) found->second = ReadCie(at);
  return found->second;
}

std::optional<CfiCheck::Cie> CfiCheck::ReadCie(uint64_t at) const {
  const auto entry = ReadEntry(tables_, at);
  if (!entry || entry->kind != Entry::Kind::kCie) return std::nullopt;
  Cursor in(entry->content);
  const auto version = in.Take<uint8_t>();
  std::string_view letters = in.TakeString();
  if (version != 1 && version != 3 && version != 4) return std::nullopt;
  if (version == 4 && (in.Take<uint8_t>() != 8 || in.Take<uint8_t>() != 0)) return std::nullopt;
  in.TakeLeb128();  // the factors of code and of data
  in.TakeLeb128();
  const uint64_t return_register = version == 1 ? in.Take<uint8_t>() : in.TakeLeb128();
  if (!in.ok() || return_register >= kRegisters) return std::nullopt;

  Cie cie{SizeOf(DW_EH_PE_absptr), letters.starts_with('z')};
  if (cie.has_augmentation) {
    letters.remove_prefix(1);
    Cursor data(in.Skip(in.TakeLeb128()));
    for (const char letter : letters) {
      if (letter == 'R') {
        const auto encoding = data.Take<uint8_t>();
        cie.address_size = (encoding & DW_EH_PE_indirect) != 0 ? 0 : SizeOf(encoding);
      } else if (letter == 'P') {
        const size_t size = SizeOf(data.Take<uint8_t>());
        if (size == 0) return std::nullopt;
        data.Skip(size);
      } else if (letter == 'L') {
        data.Skip(1);
      } else if (letter != 'S' && letter != 'B' && letter != 'G') {
        return std::nullopt;
      }
    }
    if (!data.ok() || cie.address_size == 0) return std::nullopt;
  } else if (!letters.empty()) {
    return std::nullopt;
  }
  if (!in.ok() || !IsSoundProgram(in.rest(), cie.address_size)) return std::nullopt;
  return cie;
}

}  // namespace telem
