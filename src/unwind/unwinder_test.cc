#include "unwind/unwinder.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "unwind/no_files.h"
#include "unwind/sample_tables.h"

namespace telem {
namespace {

constexpr uint64_t kImage = 0x10000;
constexpr uint64_t kImageSize = 0x4000;
constexpr uint64_t kCode = kImage + SampleTables::kFunction;
constexpr uint64_t kStack = 0x70000;
constexpr size_t kRbp = 4;
constexpr size_t kRip = 16;
constexpr size_t kRsp = 19;

// A library without a file, and a stack. Each look at the stack takes a second.
class UnwinderTest : public ::testing::Test, public ProcessMemory {
 protected:
  // Of a stack of so many frames of one function, which has this program.
  std::vector<uint64_t> Unwind(const std::string& program, size_t frames, size_t seconds) {
    MakeImage(SampleTables({program}));
    stack_.clear();
    for (size_t i = 1; i < frames; ++i) AppendValue(stack_, kCode + 1);
    // Where it ends, and what %rbp points to: no caller of the functions above.
    AppendValue(stack_, uint64_t{0});
    const uint64_t frame = kStack + stack_.size();
    AppendValue(stack_, uint64_t{0});
    AppendValue(stack_, kCode + 8);
    ThreadState thread;
    thread.registers[kRip] = kCode;
    thread.registers[kRsp] = kStack;
    thread.registers[kRbp] = frame;

    const ModuleMap map(
        {{.start = kImage, .end = kImage + kImageSize, .executable = true, .path = "/image"},
         {.start = kStack, .end = kStack + 0x10000, .writable = true, .path = ""}});
    CoreNotes notes;
    notes.machine = Machine::kX86_64;
    NoFiles files;
    auto unwinder = Unwinder::Create(notes, map, *this, files);
    EXPECT_TRUE(unwinder);
    found_ =
        (*unwinder)->Unwind(thread, 64, clock_, clock_.Monotonic() + std::chrono::seconds(seconds));
    std::vector<uint64_t> places;
    places.reserve(found_.frames.size());
    for (const StackFrame& found : found_.frames) places.push_back(found.pc);
    return places;
  }

  size_t Read(uint64_t address, std::span<char> out) override {
    const bool is_stack = address >= kStack;
    const std::string& bytes = is_stack ? stack_ : image_;
    const uint64_t place = address - (is_stack ? kStack : kImage);
    if (address < kImage || place >= bytes.size()) return 0;
    if (is_stack) clock_.Advance(std::chrono::seconds(1));
    const size_t count = std::min<size_t>(out.size(), bytes.size() - place);
    std::memcpy(out.data(), bytes.data() + place, count);
    return count;
  }

  FakeClock clock_;
  ThreadStack found_;

 private:
  void MakeImage(const SampleTables& tables) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(header);
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_X;
    load.p_filesz = load.p_memsz = kImageSize;
    load.p_align = 0x1000;
    Elf64_Phdr index{};
    index.p_type = PT_GNU_EH_FRAME;
    index.p_flags = PF_R;
    index.p_offset = index.p_vaddr = SampleTables::kIndex;
    index.p_filesz = index.p_memsz = tables.index.size();
    image_.clear();
    AppendValue(image_, header);
    AppendValue(image_, load);
    AppendValue(image_, index);
    image_.resize(kImageSize);
    image_.replace(SampleTables::kIndex, tables.index.size(), tables.index);
    image_.replace(SampleTables::kEntries, tables.entries.size(), tables.entries);
  }

  std::string image_;
  std::string stack_;
};

// A file that names a register that there is not held up each step for milliseconds.
TEST_F(UnwinderTest, StepsByTablesOnlyWhereTheyAreSound) {
  const std::vector<uint64_t> by_table = {kCode, kCode + 1, kCode + 1};
  const std::vector<uint64_t> by_frame_pointer = {kCode, kCode + 8};
  const std::string far_register = "\x07\xe0\x82\x48";
  EXPECT_EQ(Unwind("", 3, 100), by_table);
  EXPECT_EQ(Unwind(far_register, 3, 100), by_frame_pointer);
  EXPECT_FALSE(found_.more_left_out);
}

// Only between two threads it was looked at the time.
TEST_F(UnwinderTest, EndsWhenItsTimeIsOver) {
  EXPECT_EQ(Unwind("", 10, 100).size(), 10u);
  EXPECT_EQ(found_.left_out, 0u);
  const size_t found = Unwind("", 10, 4).size();
  EXPECT_GT(found, 1u);
  EXPECT_LT(found, 6u);
  EXPECT_EQ(found_.left_out, 1u);
  EXPECT_TRUE(found_.more_left_out);
  EXPECT_EQ(Unwind("", 10, 0).size(), 1u);
}

}  // namespace
}  // namespace telem
