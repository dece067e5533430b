#include "base/flat_json.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(FlatJsonTest, WritesAndReadsTheSame) {
  const std::string text = FlatJsonWriter()
                               .Add("server", "http://h/\"\\\n\x01 é")
                               .Add("size", int64_t{-42})
                               .Add("on", true)
                               .AddNull("next")
                               .Finish();
  EXPECT_EQ(text,
            R"({"server": "http://h/\"\\\n\u0001 é", "size": -42, "on": true, "next": null})");
  const auto values = ParseFlatJson(text);
  ASSERT_TRUE(values);
  EXPECT_EQ(values->at("server"), "http://h/\"\\\n\x01 é");
  EXPECT_EQ(values->at("size"), "-42");
  EXPECT_EQ(values->at("on"), "true");
  EXPECT_EQ(values->at("next"), "null");
}

TEST(FlatJsonTest, WritesForeignBytesAsLatin1) {
  EXPECT_EQ(FlatJsonWriter().Add("a", "\xe9").Finish(), R"({"a": "é"})");
}

TEST(FlatJsonTest, UnescapesUnicode) {
  const auto values = ParseFlatJson(R"({"a":"\u00e9\ud83d\ude42"})");
  ASSERT_TRUE(values);
  EXPECT_EQ(values->at("a"), "\xc3\xa9\xf0\x9f\x99\x82");
}

TEST(FlatJsonTest, RefusesWhatIsNoFlatObject) {
  EXPECT_TRUE(ParseFlatJson("{}"));
  for (const char* bad :
       {"", "{", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":{}}", "{\"a\":1} x",
        "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\n\"}", "{\"a\":nul}", "{\"a\":\"b"}) {
    EXPECT_FALSE(ParseFlatJson(bad)) << bad;
  }
}

}  // namespace
}  // namespace telem
