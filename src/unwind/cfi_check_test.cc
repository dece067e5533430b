#include "unwind/cfi_check.h"

#include <dwarf.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unwind/sample_tables.h"

namespace telem {
namespace {

using Programs = std::vector<std::string>;

constexpr uint64_t kFirst = SampleTables::kFunction;
constexpr uint64_t kSecond = kFirst + SampleTables::kFunctionSize;

std::string Code(std::initializer_list<int> bytes) {
  std::string code;
  for (const int byte : bytes) code += static_cast<char>(byte);
  return code;
}

// A register that costs libdw 19 MB.
const std::string kFarRegister = "\xe0\x82\x48";
const std::string kBad = Code({DW_CFA_undefined}) + kFarRegister;

CfiTables TablesOf(const SampleTables& sample) {
  return {.entries = sample.entries,
          .address = SampleTables::kEntries,
          .index = sample.index,
          .index_address = SampleTables::kIndex};
}

bool IsSound(const SampleTables& sample, uint64_t address = kFirst) {
  return CfiCheck(TablesOf(sample)).IsSound(address);
}

bool IsSoundProgram(const std::string& program) { return IsSound(SampleTables({program})); }

// Each instruction of DWARF 5, table 7.29, and of the vendors, with small operands.
const Programs kInstructions = {
    Code({DW_CFA_nop}),
    Code({DW_CFA_set_loc, 1, 2, 3, 4}),
    Code({DW_CFA_advance_loc | 4}),
    Code({DW_CFA_advance_loc1, 200}),
    Code({DW_CFA_advance_loc2, 1, 2}),
    Code({DW_CFA_advance_loc4, 1, 2, 3, 4}),
    Code({DW_CFA_MIPS_advance_loc8, 1, 2, 3, 4, 5, 6, 7, 8}),
    Code({DW_CFA_offset | 6, 2}),
    Code({DW_CFA_offset_extended, 3, 0x81, 1}),
    Code({DW_CFA_offset_extended_sf, 3, 0x7f}),
    Code({DW_CFA_GNU_negative_offset_extended, 3, 2}),
    Code({DW_CFA_val_offset, 3, 2}),
    Code({DW_CFA_val_offset_sf, 3, 2}),
    Code({DW_CFA_restore | 6}),
    Code({DW_CFA_restore_extended, 6}),
    Code({DW_CFA_undefined, 6}),
    Code({DW_CFA_same_value, 6}),
    Code({DW_CFA_register, 6, 7}),
    Code({DW_CFA_remember_state}),
    Code({DW_CFA_restore_state}),
    Code({DW_CFA_def_cfa, 7, 16}),
    Code({DW_CFA_def_cfa_sf, 7, 2}),
    Code({DW_CFA_def_cfa_register, 6}),
    Code({DW_CFA_def_cfa_offset, 16}),
    Code({DW_CFA_def_cfa_offset_sf, 0x7e}),
    Code({DW_CFA_def_cfa_expression, 2, DW_OP_breg7, 8}),
    Code({DW_CFA_expression, 6, 2, DW_OP_breg7, 8}),
    Code({DW_CFA_val_expression, 6, 2, DW_OP_breg7, 8}),
    Code({DW_CFA_GNU_window_save}),
    Code({DW_CFA_GNU_args_size, 16}),
};

TEST(CfiCheckTest, KnowsEachInstructionAndWhereItEnds) {
  std::string all;
  for (const std::string& instruction : kInstructions) {
    all += instruction;
    EXPECT_TRUE(IsSoundProgram(instruction)) << ::testing::PrintToString(instruction);
    EXPECT_FALSE(IsSoundProgram(instruction + kBad)) << ::testing::PrintToString(instruction);
    for (size_t size = 1; size < instruction.size(); ++size) {
      EXPECT_FALSE(IsSoundProgram(instruction.substr(0, size)))
          << size << " of " << ::testing::PrintToString(instruction);
    }
  }
  EXPECT_TRUE(IsSoundProgram(all));
  EXPECT_FALSE(IsSoundProgram(Code({0x3f})));
}

// Register 1,180,000 made libdw's row of registers 19 MB, which each remember_state copied.
TEST(CfiCheckTest, RefusesARegisterThatNoProcessorHas) {
  for (const int before :
       {DW_CFA_undefined, DW_CFA_same_value, DW_CFA_restore_extended, DW_CFA_def_cfa_register}) {
    EXPECT_FALSE(IsSoundProgram(Code({before}) + kFarRegister)) << before;
    EXPECT_TRUE(IsSoundProgram(Code({before}) + Code({0x91, 1}))) << before;  // r31 of APX
  }
  for (const int before :
       {DW_CFA_offset_extended, DW_CFA_offset_extended_sf, DW_CFA_val_offset, DW_CFA_val_offset_sf,
        DW_CFA_def_cfa, DW_CFA_def_cfa_sf, DW_CFA_expression, DW_CFA_val_expression}) {
    EXPECT_FALSE(IsSoundProgram(Code({before}) + kFarRegister + '\0')) << before;
  }
  EXPECT_FALSE(IsSoundProgram(Code({DW_CFA_register, 1}) + kFarRegister));
  EXPECT_FALSE(IsSoundProgram(Code({DW_CFA_register}) + kFarRegister + '\1'));
  EXPECT_FALSE(IsSound(SampleTables({""}, kBad)));
}

TEST(CfiCheckTest, RefusesManyStatesAtATimeButNotInTurns) {
  const char remember = DW_CFA_remember_state;
  EXPECT_TRUE(IsSoundProgram(std::string(16, remember)));
  EXPECT_FALSE(IsSoundProgram(std::string(17, remember)));
  std::string turns;
  for (int i = 0; i < 10000; ++i) turns += Code({remember, DW_CFA_restore_state});
  EXPECT_TRUE(IsSoundProgram(turns));
  EXPECT_TRUE(IsSoundProgram(std::string(128 * 1024, '\0')));
  EXPECT_FALSE(IsSoundProgram(std::string(128 * 1024 + 1, '\0')));
}

TEST(CfiCheckTest, FindsByTheIndexWhatIsRun) {
  const SampleTables sample({"", kBad});
  EXPECT_TRUE(IsSound(sample, kFirst - 1));
  EXPECT_TRUE(IsSound(sample, kFirst));
  EXPECT_TRUE(IsSound(sample, kSecond - 1));
  EXPECT_FALSE(IsSound(sample, kSecond));
  // libdw also keeps the last one when it is asked for what lies behind.
  EXPECT_FALSE(IsSound(sample, kSecond + 1000));
}

// Without one libdw reads, and keeps, whatever comes before.
TEST(CfiCheckTest, LooksAtAllFunctionsWithoutAnIndex) {
  const SampleTables good({"", ""});
  const SampleTables bad({"", kBad});
  for (const std::string& index : {std::string(), Code({1, 0x1b, 0xff, 0xff, 0xfc, 0x0f, 0, 0})}) {
    SampleTables sample = good;
    sample.index = index;
    EXPECT_TRUE(IsSound(sample));
    sample.entries = bad.entries;
    EXPECT_FALSE(IsSound(sample));
  }
  // An index that is of other tables is not used.
  CfiTables tables = TablesOf(bad);
  EXPECT_TRUE(CfiCheck(tables).IsSound(kFirst));
  tables.address += 16;
  EXPECT_FALSE(CfiCheck(tables).IsSound(kFirst));
}

TEST(CfiCheckTest, RefusesAnIndexThatNoLinkerWrites) {
  const SampleTables sample({""});
  ASSERT_TRUE(IsSound(sample));
  EXPECT_EQ(AddressOfEhFrame(sample.index, SampleTables::kIndex), SampleTables::kEntries);
  for (size_t size = 1; size < sample.index.size(); ++size) {
    SampleTables cut = sample;
    cut.index.resize(size);
    EXPECT_FALSE(IsSound(cut)) << size;
  }
  for (size_t i = 0; i < 4; ++i) {
    SampleTables changed = sample;
    changed.index[i] = 0x42;
    EXPECT_FALSE(IsSound(changed)) << i;
  }
  // An entry before, behind and within the tables, but where none begins.
  for (const int distance : {-0x1000, 0x1000, 1}) {
    SampleTables changed = sample;
    changed.index.resize(changed.index.size() - 4);
    AppendValue(changed.index, static_cast<int32_t>(0x1000 + 4 + distance));
    EXPECT_FALSE(IsSound(changed)) << distance;
  }
}

TEST(CfiCheckTest, RefusesTablesThatEndInTheMiddle) {
  const SampleTables sample({Code({DW_CFA_def_cfa_offset, 16})});
  for (size_t size = 0; size + 4 < sample.entries.size(); ++size) {
    SampleTables cut = sample;
    cut.entries.resize(size);
    EXPECT_FALSE(IsSound(cut)) << size;
  }
}

// A CIE that stands for all augmentations, and one of each that libdw would read otherwise.
TEST(CfiCheckTest, ReadsTheAugmentationsOfCompilers) {
  const auto tables_with = [](std::string_view letters, std::string_view data) {
    SampleTables sample({""});
    std::string cie = '\1' + std::string(letters) + '\0' + "\1\x78\x10" +
                      std::string(1, static_cast<char>(data.size())) + std::string(data);
    std::string entries;
    AppendValue(entries, static_cast<uint32_t>(4 + cie.size()));
    AppendValue(entries, uint32_t{0});
    entries += cie;
    AppendValue(entries, uint32_t{13});
    AppendValue(entries, static_cast<uint32_t>(entries.size()));
    entries += std::string(9, '\0');
    AppendValue(entries, uint32_t{0});
    sample.entries = entries;
    sample.index.clear();
    return sample;
  };
  EXPECT_TRUE(IsSound(tables_with("zR", "\x1b")));
  EXPECT_TRUE(IsSound(tables_with("zRS", "\x1b")));
  EXPECT_TRUE(IsSound(tables_with("zRB", "\x1b")));
  EXPECT_TRUE(IsSound(tables_with("zPLR", {"\x9b\0\0\0\0\x1b\x1b", 7})));
  EXPECT_FALSE(IsSound(tables_with("zPLR", {"\x9b\0\0\0\0\x1b", 6})));
  EXPECT_FALSE(IsSound(tables_with("zRX", "\x1b")));
  EXPECT_FALSE(IsSound(tables_with("eh", "\x1b")));
  EXPECT_FALSE(IsSound(tables_with("R", "\x1b")));
  EXPECT_FALSE(IsSound(tables_with("zR", "\x9b")));
  EXPECT_FALSE(IsSound(tables_with("zR", "\x01")));
  EXPECT_FALSE(IsSound(tables_with("zR", "\x50")));
}

TEST(CfiCheckTest, ReadsDebugFrame) {
  const auto check = [](const std::string& program) {
    std::string entries;
    const std::string cie = std::string("\3\0\1\x78\x10", 5) + Code({DW_CFA_def_cfa, 7, 8});
    AppendValue(entries, static_cast<uint32_t>(4 + cie.size()));
    AppendValue(entries, uint32_t{0xffffffff});
    entries += cie;
    AppendValue(entries, static_cast<uint32_t>(20 + program.size()));
    AppendValue(entries, uint32_t{0});
    AppendValue(entries, kFirst);
    AppendValue(entries, uint64_t{SampleTables::kFunctionSize});
    entries += program;
    return CfiCheck({.entries = entries, .is_debug_frame = true}).IsSound(kFirst);
  };
  EXPECT_TRUE(check(""));
  EXPECT_TRUE(check(Code({DW_CFA_set_loc, 1, 2, 3, 4, 5, 6, 7, 8})));
  EXPECT_FALSE(check(kBad));
}

}  // namespace
}  // namespace telem
