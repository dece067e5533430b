// CfiCheck: whether the unwind tables of a file say what compilers say, before libdw runs them.
//
// They hold a small program for each function (DWARF 5, 6.4). libdw keeps a row of all registers up
// to the highest that a program names, and copies it whenever one says remember_state: a file that
// was made for it can hold up each step, and a stack has thousands of them. So whatever libdw is
// going to run is read before it, and refused where no table of a compiler is like that.
//
// For the bytes of tables; where they are in an ELF file is for others to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

namespace telem {

// The tables of one file of 64 bits, little endian, and where the linker put them. Not owned.
struct CfiTables {
  std::span<const char> entries = {};  // .eh_frame, or else .debug_frame
  uint64_t address = 0;                // of .eh_frame
  std::span<const char> index = {};    // .eh_frame_hdr; empty where there is none
  uint64_t index_address = 0;
  bool is_debug_frame = false;
};

// Where .eh_frame is, as its index says (Linux Standard Base Core, ".eh_frame_hdr"). Nothing where
// it is not as linkers write it.
std::optional<uint64_t> AddressOfEhFrame(std::span<const char> index, uint64_t index_address);

class CfiCheck {
 public:
  explicit CfiCheck(const CfiTables& tables) : tables_(tables) {}

  // Whether everything is as compilers write it that libdw runs for an address, counted as the
  // linker did. That includes addresses of which the tables say nothing.
  bool IsSound(uint64_t address);

 private:
  // Common Information Entry: what the entries of many functions share.
  struct Cie {
    size_t address_size = 0;
    bool has_augmentation = false;
  };

  bool AreAllSound();
  bool IsSoundEntry(uint64_t at);
  const std::optional<Cie>& FindCie(uint64_t at);
  std::optional<Cie> ReadCie(uint64_t at) const;

  CfiTables tables_;
  std::unordered_map<uint64_t, std::optional<Cie>> cies_;
  std::optional<bool> are_all_sound_;  // where it had to be known
};

}  // namespace telem
