#include "base/text.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(TextTest, TrimsBlanksAtBothEnds) {
  EXPECT_EQ(Trim("  a b\t\r\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
  EXPECT_EQ(Trim(""), "");
}

TEST(TextTest, TakesUntilASeparatorOrTheEnd) {
  std::string_view rest = "a:b::c";
  EXPECT_EQ(TakeUntil(rest, ':'), "a");
  EXPECT_EQ(TakeUntil(rest, ':'), "b");
  EXPECT_EQ(TakeUntil(rest, ':'), "");
  EXPECT_EQ(TakeUntil(rest, ':'), "c");
  EXPECT_EQ(TakeUntil(rest, ':'), "");
}

TEST(TextTest, ParsesOnlyWholeDecimalNumbers) {
  EXPECT_EQ(ParseUnsigned("0"), 0u);
  EXPECT_EQ(ParseUnsigned("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseUnsigned("18446744073709551616"), std::nullopt);
  for (const char* bad : {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "abc"}) {
    EXPECT_EQ(ParseUnsigned(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(ParseSigned("-1"), -1);
  EXPECT_EQ(ParseSigned("--1"), std::nullopt);
}

// Eight bytes are looked at together: each value is found in each place, and alone.
TEST(TextTest, FindsAControlCharacterWhereverItStands) {
  for (size_t at = 0; at < 19; ++at) {
    for (int value = 0; value < 256; ++value) {
      for (const char around : {' ', '~', '\x80', '\xff'}) {
        std::string text(19, around);
        text[at] = static_cast<char>(value);
        std::string masked = "a\tb";
        AppendMasked(masked, text);
        EXPECT_EQ(HasControl(text), IsControl(text[at])) << at << " " << value;
        EXPECT_EQ(IsPrintableAscii(text), IsPrintableAscii(text[at]) && IsPrintableAscii(around));
        if (IsControl(text[at])) text[at] = '?';
        EXPECT_EQ(masked, "a\tb" + text);
      }
    }
  }
  EXPECT_FALSE(HasControl(""));
  EXPECT_TRUE(IsPrintableAscii(""));
}

TEST(TextTest, KnowsLowerCaseHexOfOneLength) {
  EXPECT_TRUE(IsLowerHex("0123456789abcdef", 16));
  EXPECT_FALSE(IsLowerHex("0123456789abcdeF", 16));
  EXPECT_FALSE(IsLowerHex("0123456789abcde", 16));
  EXPECT_FALSE(IsLowerHex("0123456789abcdeg", 16));
}

TEST(TextTest, ReplacesWhatIsNotPrintableAscii) {
  EXPECT_EQ(PrintableAscii("a\nb\xc3\xa9\x7f", 99), "a?b???");
  EXPECT_EQ(PrintableAscii("abcdef", 3), "abc");
}

TEST(TextTest, KnowsUtf8) {
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_TRUE(IsUtf8("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82"));
  for (const char* bad : {"\xe9", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf0\x9f\x99", "\x80", "\xff"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(TextTest, HexComesBackAsTheBytesItWas) {
  const std::string bytes("\0a\xff\n", 4);
  std::string hex;
  AppendHex(hex, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  EXPECT_EQ(hex, "0061ff0a");
  EXPECT_EQ(ParseHex(hex), bytes);
  EXPECT_EQ(ParseHex(""), "");
  for (const char* bad : {"0", "0g", "AB", " 00"}) EXPECT_FALSE(ParseHex(bad)) << bad;
}

}  // namespace
}  // namespace telem
