#include "probes/crash/coredump_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "probes/crash/core_socket.h"
#include "probes/crash/crash_report.h"

namespace telem {
namespace {

constexpr char kMessage[] =
    "Process 42 (example) of user 0 dumped core.\n"
    "\n"
    "Module /usr/bin/example with build-id 0123abcd\n"
    "Stack trace of thread 41:\n"
    "#0  0x00007f00000d3df2 pause (libc.so.6 + 0xd3df2)\n"
    "\n"
    "Stack trace of thread 42:\n"
    "#0  0x000055d000001139 parse (example + 0x1139)\n"
    "#1  0x000055d000001150 n/a (example + 0x1150)\n"
    "ELF object binary architecture: AMD x86-64\n";

TEST(CoredumpMessageTest, PutsTheThreadThatCrashedFirst) {
  const std::string text = ReportOfCoredumpMessage(kMessage, 42, "/usr/bin/example");
  EXPECT_TRUE(
      text.starts_with("Build-ID: 0123abcd\n"
                       "\nBacktrace (TID 42):\n"
                       "#0 parse() - [example] +0x1139\n"
                       "#1 ??? - [example] +0x1150\n"
                       "\nBacktrace (TID 41):\n#0 pause() - [libc.so.6] +0xd3df2\n"))
      << text;
  EXPECT_TRUE(text.contains("\nSignature: s1:"));
}

// systemd 252 does not say which thread it was, and the process's first one took its place.
TEST(CoredumpMessageTest, KeepsTheOrderWhereNothingSaysWhichThreadCrashed) {
  const std::string text = ReportOfCoredumpMessage(kMessage, 0, "/usr/bin/example");
  EXPECT_TRUE(text.starts_with(
      "Build-ID: 0123abcd\n\nBacktrace (TID 41):\n#0 pause() - [libc.so.6] +0xd3df2\n"
      "\nBacktrace (TID 42):\n"))
      << text;
}

TEST(CoredumpMessageTest, CutsTheStackThatCrashedWhereTheRoomEnds) {
  std::string message = "Stack trace of thread 1:\n";
  for (int i = 0; i < 250; ++i) {
    message += "#" + std::to_string(i) + " 0x1 " + std::string(1000, 'f') + " (example + 0x1)\n";
  }
  const std::string long_stack = message;
  message += "Stack trace of thread 2:\n#0 0x1 g (example + 0x1)\n";
  const std::string text = ReportOfCoredumpMessage(message, 0, "/usr/bin/example");
  EXPECT_LT(text.size(), 250u * 1024);
  EXPECT_TRUE(text.starts_with("\nBacktrace (TID 1):\n#0 ffff")) << text.substr(0, 100);
  size_t shown = 0;
  while (text.contains("\n#" + std::to_string(shown) + " ")) ++shown;
  EXPECT_GT(shown, 190u);
  EXPECT_TRUE(text.contains("\n(" + std::to_string(250 - shown) +
                            " frames left out)\n\n(1 threads left out)\n\nModules:\n"))
      << text.substr(text.size() - 300);
  EXPECT_TRUE(ReportOfCoredumpMessage(long_stack, 0, "/usr/bin/example")
                  .contains(" frames left out)\n\nModules:\n"));
}

TEST(CoredumpMessageTest, TellsWhatTheEntryKnowsOfModules) {
  const std::string text = ReportOfCoredumpMessage(kMessage, 42, "/usr/bin/example");
  EXPECT_TRUE(
      text.contains("\n\nModules:\n"
                    "example 0123abcd 0x55d000000000\n"
                    "libc.so.6 - 0x7f0000000000\n"
                    "\nSignature: s1:"))
      << text;
  EXPECT_TRUE(IsReportText(text));
  EXPECT_FALSE(ReportOfCoredumpMessage(kMessage, 42, "/usr/bin/other").contains("Build-ID"));
}

TEST(CoredumpMessageTest, MakesNothingOfWhatHasNoStack) {
  EXPECT_EQ(ReportOfCoredumpMessage("Process 42 (example) dumped core.\n", 42, ""), "");
  EXPECT_EQ(ReportOfCoredumpMessage("Stack trace of thread 1:\n#0 (\n#1 x (y + z)\n", 1, ""), "");
}

std::string Entry() {
  std::string entry =
      "__CURSOR=c1\nCOREDUMP_EXE=/usr/bin/example\nCOREDUMP_ENVIRON=SECRET\nMESSAGE\n";
  entry += std::string("\x07\0\0\0\0\0\0\0", 8) + "one\ntwo" + "\n\n";
  return entry;
}

TEST(JournalExportReaderTest, PutsEntriesTogetherHoweverTheyAreCut) {
  const std::string bytes = Entry() + Entry();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    JournalExportReader reader;
    size_t found = 0;
    for (const std::string_view piece :
         {std::string_view(bytes).substr(0, cut), std::string_view(bytes).substr(cut)}) {
      reader.Add(piece);
      while (const auto fields = reader.Next()) {
        ++found;
        EXPECT_EQ(fields->at("MESSAGE"), "one\ntwo");
        EXPECT_EQ(fields->at("__CURSOR"), "c1");
        EXPECT_FALSE(fields->contains("COREDUMP_ENVIRON"));
      }
    }
    EXPECT_EQ(found, 2u) << cut;
  }
}

TEST(JournalExportReaderTest, AllocatesNothingForASizeThatIsALie) {
  JournalExportReader reader;
  reader.Add("MESSAGE\n" + std::string(8, '\xff') + "x\n\n" + Entry());
  size_t found = 0;
  for (int i = 0; i < 5; ++i) found += reader.Next() ? 1 : 0;
  EXPECT_GE(found, 1u);
}

TEST(CoreRequestTest, AsksForTheCoreAndThatTheKernelWaits) {
  const std::string request("\x10\0\0\0\x10\0\0\0\x0f\0\0\0\0\0\0\0", 16);
  const auto answer = AnswerCoreRequest(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(*answer, std::string("\x10\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0", 16));
  EXPECT_FALSE(AnswerCoreRequest("").has_value());
  EXPECT_FALSE(AnswerCoreRequest(request.substr(0, 15)).has_value());
  EXPECT_FALSE(AnswerCoreRequest(std::string(16, '\0')).has_value());
}

// An entry with a size beyond all limits took those behind it along when they came in one piece.
TEST(JournalExportReaderTest, GoesOnBehindADamagedEntryHoweverItIsCut) {
  const std::string bytes = "__CURSOR=c0\nMESSAGE\n" + std::string(8, '\xff') + "x\n\n" + Entry();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    JournalExportReader reader;
    std::vector<std::string> cursors;
    for (const std::string_view piece :
         {std::string_view(bytes).substr(0, cut), std::string_view(bytes).substr(cut)}) {
      reader.Add(piece);
      while (const auto fields = reader.Next()) cursors.push_back(fields->at("__CURSOR"));
    }
    EXPECT_EQ(cursors, std::vector<std::string>{"c1"}) << cut;
  }
}

}  // namespace
}  // namespace telem
