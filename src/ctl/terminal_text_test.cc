#include "ctl/terminal_text.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(TerminalTextTest, LetsNoControlCharacterThrough) {
  for (int c = 0; c < 256; ++c) {
    if (c >= 0x20 && c < 0x7f) continue;
    const std::string text{'a', static_cast<char>(c), 'b'};
    EXPECT_EQ(TerminalLine(text), "a?b") << c;
    EXPECT_EQ(TerminalBlock(text), c == '\n' || c == '\t' ? text : "a?b") << c;
  }
  EXPECT_EQ(TerminalLine("\xc2\x9b"
                         "31mred"),
            "?31mred");
}

TEST(TerminalTextTest, LeavesUtf8AsItIs) {
  EXPECT_EQ(TerminalLine("Grüße, 日本 \xc2\xa0"), "Grüße, 日本 \xc2\xa0");
}

TEST(TerminalTextTest, KeepsJsonTheSameForItsReaders) {
  EXPECT_EQ(TerminalJson("{\"a\": \"\x7f\xc2\x9b\xc3\xa4\"}"),
            "{\"a\": \"\\u007f\\u009b\xc3\xa4\"}");
}

}  // namespace
}  // namespace telem
