#include "record/headers.h"

#include <gtest/gtest.h>

#include "record/classification.h"
#include "record/sample_headers.h"

namespace telem {
namespace {

// SampleHeaderText() with the line of `header` replaced by `line` (without newline).
std::string WithLine(Header header, std::string_view line) {
  std::string text;
  const HeaderViews sample = SampleHeaders();
  for (size_t i = 0; i < kHeaderCount; ++i) {
    if (i == static_cast<size_t>(header)) {
      text += line;
    } else {
      text += kHeaderNames[i];
      text += ": ";
      text += sample.values[i];
    }
    text += '\n';
  }
  return text;
}

TEST(HeadersTest, SplitsWhatWasWritten) {
  const std::string text = SampleHeaderText();
  const auto headers = SplitHeaders(text);
  ASSERT_TRUE(headers) << headers.error().message;
  EXPECT_EQ(headers->values, SampleHeaders().values);
  EXPECT_TRUE(CheckHeaders(*headers));
}

TEST(HeadersTest, RefusesEveryCutOfTheText) {
  const std::string text = SampleHeaderText();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(SplitHeaders(std::string_view(text).substr(0, size))) << size;
  }
  EXPECT_FALSE(SplitHeaders(text + "x"));
}

TEST(HeadersTest, RefusesMissingReorderedAndMalformedLines) {
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kArch, "host_type: x")));
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kArch, "arch:x")));
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kArch, "Arch: x")));
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kArch, "arch")));
  EXPECT_TRUE(SplitHeaders(WithLine(Header::kArch, "arch: ")));
}

// A carriage return in a value became a foreign HTTP header; the journal's separator shifted
// fields.
TEST(HeadersTest, RefusesControlCharacters) {
  for (const char c : {'\r', '\t', '\x1e', '\x7f', '\x01'}) {
    EXPECT_FALSE(SplitHeaders(WithLine(Header::kBuild, std::string("build: a") + c + "b")));
  }
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kBuild, std::string_view("build: a\0b", 10))));
}

TEST(HeadersTest, TakesLinesUpTo4KiB) {
  const std::string fits = "build: " + std::string(kMaxHeaderLine - 8, 'x');
  EXPECT_TRUE(SplitHeaders(WithLine(Header::kBuild, fits)));
  EXPECT_FALSE(SplitHeaders(WithLine(Header::kBuild, fits + "x")));
}

TEST(HeadersTest, ChecksValuesThatHaveRules) {
  const auto accepts = [](Header header, std::string_view value) {
    HeaderViews headers = SampleHeaders();
    headers[header] = value;
    return CheckHeaders(headers).has_value();
  };
  EXPECT_FALSE(accepts(Header::kRecordFormatVersion, "5"));
  EXPECT_FALSE(accepts(Header::kSeverity, "0"));
  EXPECT_FALSE(accepts(Header::kSeverity, "5"));
  EXPECT_FALSE(accepts(Header::kSeverity, "11"));
  EXPECT_FALSE(accepts(Header::kSeverity, ""));
  EXPECT_TRUE(accepts(Header::kSeverity, "4"));
  EXPECT_FALSE(accepts(Header::kEventId, "../../../../../../../../etc/passwd"));
  EXPECT_FALSE(accepts(Header::kCreationTimestamp, "yesterday"));
  EXPECT_FALSE(accepts(Header::kPayloadFormatVersion, "-1"));
  EXPECT_FALSE(accepts(Header::kClassification, "a/b"));
}

TEST(HeadersTest, CutsAndCleansWhatServersWouldRefuse) {
  HeaderViews headers = SampleHeaders();
  const std::string longer(300, 'h');
  headers[Header::kHostType] = longer;
  headers[Header::kCpuModel] = "caf\xc3\xa9";
  std::string text;
  AppendHeaders(text, headers);
  const auto read = SplitHeaders(text);
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[Header::kHostType].size(), 249u);
  EXPECT_EQ((*read)[Header::kCpuModel], "caf??");
}

TEST(ClassificationTest, TakesThreePartsOf1To40Bytes) {
  const std::string forty(40, 'a');
  EXPECT_TRUE(IsValidClassification("a/b/c"));
  EXPECT_TRUE(IsValidClassification(forty + "/" + forty + "/" + forty));
  EXPECT_FALSE(IsValidClassification(forty + "a/b/c"));
  EXPECT_FALSE(IsValidClassification("a/b/" + forty + "c"));
  for (const char* bad : {"", "a", "a/b", "a/b/c/d", "//", "/b/c", "a//c", "a/b/", "a/b/c\n",
                          "a/b/\xc3\xa9", "a/b/\x1e"}) {
    EXPECT_FALSE(IsValidClassification(bad)) << bad;
  }
}

}  // namespace
}  // namespace telem
