#include "unwind/process_memory.h"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/unique_fd.h"

namespace telem {
namespace {

UniqueFd FileOf(std::string_view bytes) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  return file;
}

std::string Read(ProcessMemory& memory, uint64_t address, size_t size) {
  std::string bytes(size, '\0');
  bytes.resize(memory.Read(address, bytes));
  return bytes;
}

TEST(CoreMemoryTest, ReadsAcrossSegmentsThatTouch) {
  const UniqueFd file = FileOf("..abcdefgh");
  CoreMemory memory(file.get(), {{0x1004, 4, 6, 4, 0}, {0x1000, 4, 2, 4, 0}});
  EXPECT_EQ(Read(memory, 0x1002, 4), "cdef");
  EXPECT_EQ(Read(memory, 0x1006, 100), "gh");
  EXPECT_EQ(Read(memory, 0xfff, 4), "");
  EXPECT_EQ(Read(memory, UINT64_MAX, 4), "");
}

TEST(CoreMemoryTest, KnowsWhatTheKernelLeftOutAndWhatIsCutOff) {
  const UniqueFd file = FileOf("abcd");
  CoreMemory memory(file.get(), {{0x1000, 8, 0, 2, 0}, {0x2000, 8, 2, 8, 0}});
  EXPECT_EQ(Read(memory, 0x1000, 8), "ab");
  EXPECT_EQ(Read(memory, 0x2000, 8), "cd");
}

TEST(CachedMemoryTest, ReadsAcrossPagesAndStopsAtHoles) {
  std::string bytes(8192, 'x');
  bytes[4095] = 'a';
  bytes[4096] = 'b';
  const UniqueFd file = FileOf(bytes);
  CoreMemory core(file.get(), {{0x10000, 8192, 0, 8192, 0}});
  CachedMemory memory(core);
  EXPECT_EQ(Read(memory, 0x10fff, 2), "ab");
  EXPECT_EQ(Read(memory, 0x11ffe, 10), "xx");
  EXPECT_EQ(Read(memory, 0x20000, 1), "");
  EXPECT_EQ(Read(memory, 0x10fff, 2), "ab");
}

TEST(KeepStacksTest, KeepsStacksAndStartsWhereTheyWere) {
  constexpr uint64_t kSize = uint64_t{256} * 1024;
  std::string core(2 * kSize, 'm');
  core[100] = 'S';              // the start of the first segment
  core[kSize + 200'000] = 'T';  // at the stack pointer
  CoreNotes notes;
  notes.segments = {{0x100000, kSize, 0, kSize, PF_R}, {0x200000, kSize, kSize, kSize, PF_W}};
  ThreadState thread;
  thread.registers[19] = 0x200000 + 200'000;
  notes.threads.push_back(thread);

  const UniqueFd kept = FileOf("");
  SpanSource source(core);
  const auto size = KeepStacks(source, 0, notes, kept.get(), kSize);
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(*size, uint64_t{65'536} * 2 + (kSize - 200'000 + 128));
  CoreMemory memory(kept.get(), notes.segments);
  EXPECT_EQ(Read(memory, 0x100000 + 100, 1), "S");
  EXPECT_EQ(Read(memory, 0x200000 + 200'000, 1), "T");
  EXPECT_EQ(Read(memory, 0x100000 + 100'000, 1), std::string(1, '\0'));
}

TEST(KeepStacksTest, KeepsNoMoreThanItMay) {
  const std::string core(1 << 20, 'm');
  CoreNotes notes;
  for (uint64_t i = 0; i < 16; ++i) notes.segments.push_back({i << 20, 65536, i << 16, 65536, 0});
  const UniqueFd kept = FileOf("");
  SpanSource source(core);
  const auto size = KeepStacks(source, 0, notes, kept.get(), 100'000);
  ASSERT_TRUE(size.has_value());
  EXPECT_LE(*size, 100'000u);
}

// Each of the threads was in each of the segments: 1.6 thousand million parts.
TEST(KeepStacksTest, TakesNoLongerForSegmentsThatOverlap) {
  const std::string core(1 << 20, 'm');
  CoreNotes notes;
  for (uint64_t i = 0; i < 200'000; ++i) notes.segments.push_back({4096, 1 << 20, 0, 1 << 20, 0});
  ThreadState thread;
  thread.registers[19] = 4096 + 200'000;
  notes.threads.assign(8000, thread);
  const UniqueFd kept = FileOf("");
  SpanSource source(core);
  const auto size = KeepStacks(source, 0, notes, kept.get(), 2 << 20);
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(*size, 65'536u + ((1 << 20) - 200'000 + 128));
}

}  // namespace
}  // namespace telem
