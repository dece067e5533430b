#include "unwind/core_notes.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>

#include "unwind/sample_core.h"

namespace telem {
namespace {

Result<CoreNotes> Parse(std::string_view core) {
  SpanSource source(core);
  return ReadCoreNotes(source);
}

TEST(CoreNotesTest, ReadsThreadsSignalFilesAndName) {
  SampleCore core(EM_X86_64);
  core.AddThread(7, SIGSEGV);
  core.AddThread(8, 0);
  core.AddName(7, "example");
  core.AddSignal(SIGSEGV, SEGV_MAPERR, 0x1000);
  core.AddFile(0x400000, 0x401000, 2, "/usr/bin/example");
  core.AddSegment(0x400000, 0x1000, PF_R | PF_X);
  const auto notes = Parse(core.Bytes());
  ASSERT_TRUE(notes.has_value()) << notes.error().message;
  EXPECT_EQ(notes->machine, Machine::kX86_64);
  ASSERT_EQ(notes->threads.size(), 2u);
  EXPECT_EQ(notes->threads[0].tid, 7);
  EXPECT_EQ(ProgramCounter(notes->machine, notes->threads[0]), 16u);  // registers count up there
  EXPECT_EQ(StackPointer(notes->machine, notes->threads[0]), 19u);
  EXPECT_EQ(notes->pid, 7);
  EXPECT_EQ(notes->command, "example");
  ASSERT_TRUE(notes->signal_info.has_value());
  EXPECT_EQ(notes->signal(), SIGSEGV);
  EXPECT_EQ(notes->signal_info->address, 0x1000u);
  EXPECT_TRUE(notes->signal_info->HasAddress());
  ASSERT_EQ(notes->files.size(), 1u);
  EXPECT_EQ(notes->files[0].path, "/usr/bin/example");
  EXPECT_EQ(notes->files[0].offset, 0x2000u);
  ASSERT_EQ(notes->segments.size(), 1u);
  EXPECT_EQ(notes->segments[0].start, 0x400000u);
  EXPECT_FALSE(notes->truncated);
}

TEST(CoreNotesTest, ReadsCoresOfAarch64) {
  SampleCore core(EM_AARCH64);
  core.AddThread(7, SIGBUS);
  const auto notes = Parse(core.Bytes());
  ASSERT_TRUE(notes.has_value());
  EXPECT_EQ(notes->machine, Machine::kAarch64);
  ASSERT_EQ(notes->threads.size(), 1u);
  EXPECT_EQ(ProgramCounter(notes->machine, notes->threads[0]), 32u);
  EXPECT_EQ(StackPointer(notes->machine, notes->threads[0]), 31u);
  EXPECT_EQ(notes->signal(), SIGBUS);
}

TEST(CoreNotesTest, TakesWhatIsThereOfACoreThatEndsAnywhere) {
  SampleCore core(EM_X86_64);
  for (int tid = 1; tid <= 3; ++tid) core.AddThread(tid, SIGABRT);
  const std::string bytes = core.Bytes();
  size_t most = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto notes = Parse(std::string_view(bytes).substr(0, size));
    if (size < sizeof(Elf64_Ehdr)) {
      EXPECT_FALSE(notes.has_value()) << size;
      continue;
    }
    ASSERT_TRUE(notes.has_value()) << size;
    EXPECT_GE(notes->threads.size(), most);
    most = notes->threads.size();
  }
  EXPECT_EQ(most, 2u);
}

TEST(CoreNotesTest, AsksForNothingBehindTheNotes) {
  SampleCore core(EM_X86_64);
  core.AddThread(1, SIGSEGV);
  const std::string notes_only = core.Bytes();
  const std::string bytes = notes_only + "memory";
  SpanSource source(bytes);
  const auto notes = ReadCoreNotes(source);
  ASSERT_TRUE(notes.has_value());
  EXPECT_EQ(notes->end, notes_only.size());
  std::array<char, 16> rest;
  EXPECT_EQ(*source.Read(rest), 6u);
}

TEST(CoreNotesTest, NeverLooksAtArguments) {
  SampleCore core(EM_X86_64);
  core.AddName(1, "example");  // followed by "secret" where a process has its arguments
  const auto notes = Parse(core.Bytes());
  ASSERT_TRUE(notes.has_value());
  EXPECT_EQ(notes->command, "example");
}

TEST(CoreNotesTest, RefusesWhatIsNoCoreOfAKnownMachine) {
  EXPECT_FALSE(Parse("").has_value());
  EXPECT_FALSE(Parse(std::string(4096, 'x')).has_value());
  EXPECT_FALSE(Parse(SampleCore(EM_RISCV).Bytes()).has_value());
  std::string other = SampleCore(EM_X86_64).Bytes();
  other[EI_CLASS] = ELFCLASS32;
  EXPECT_FALSE(Parse(other).has_value());
  std::string program = SampleCore(EM_X86_64).Bytes();
  program[16] = ET_EXEC;
  EXPECT_FALSE(Parse(program).has_value());
}

TEST(CoreNotesTest, SkipsNotesThatAreTooLargeOrUnknown) {
  SampleCore core(EM_X86_64);
  core.AddNote("CORE", NT_PRSTATUS, std::string(100'000, 'x'));
  core.AddNote("LINUX", 0x202, std::string(8192, 'x'));
  core.AddNote("CORE", NT_FILE, std::string(16, '\xff'));
  core.AddThread(5, SIGSEGV);
  const auto notes = Parse(core.Bytes());
  ASSERT_TRUE(notes.has_value());
  ASSERT_EQ(notes->threads.size(), 1u);
  EXPECT_EQ(notes->threads[0].tid, 5);
  EXPECT_TRUE(notes->files.empty());
}

TEST(CoreNotesTest, KillHasNoAddress) {
  EXPECT_FALSE((SignalInfo{SIGSEGV, SI_USER, 77}).HasAddress());
  EXPECT_FALSE((SignalInfo{SIGABRT, SI_TKILL, 77}).HasAddress());
  EXPECT_FALSE((SignalInfo{SIGSEGV, SI_KERNEL, 0}).HasAddress());
}

}  // namespace
}  // namespace telem
