#include "record/spool_file.h"

#include <gtest/gtest.h>

#include "record/sample_headers.h"

namespace telem {
namespace {

TEST(SpoolFileTest, NamesReadBack) {
  const SpoolFileName name{*ParseRecordId("0193585f9c00aabbccddeeff00112233"), 1000, 6};
  EXPECT_EQ(name.ToText(), "0193585f9c00aabbccddeeff00112233-1000-6");
  EXPECT_EQ(ParseSpoolFileName(name.ToText()), name);
}

TEST(SpoolFileTest, TakesAnyOtherNameForForeign) {
  const std::string id = "0193585f9c00aabbccddeeff00112233";
  EXPECT_FALSE(ParseSpoolFileName("FBvZEt"));
  EXPECT_FALSE(ParseSpoolFileName(id));
  EXPECT_FALSE(ParseSpoolFileName(id + "-0"));
  EXPECT_FALSE(ParseSpoolFileName(id + "-01-6"));
  EXPECT_FALSE(ParseSpoolFileName(id + "-0-6 "));
  EXPECT_FALSE(ParseSpoolFileName(id + "-0-6-1"));
  EXPECT_FALSE(ParseSpoolFileName(id + "-4294967296-6"));
  EXPECT_FALSE(ParseSpoolFileName(id + "-0-262145"));
}

TEST(SpoolFileTest, SplitsHeadersAndPayload) {
  const std::string bytes = SampleHeaderText() + "two\nlines\n" + "\n";
  const auto parts = ParseSpoolFile(bytes, 10);
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->payload, "two\nlines\n");
  EXPECT_EQ(parts->header_text, SampleHeaderText());
  EXPECT_EQ(parts->headers[Header::kSystemName], "debian");
}

TEST(SpoolFileTest, TakesFilesOf1xAnd2x) {
  const std::string bytes = SampleHeaderText() + "hello\n\n";
  EXPECT_EQ(ParseSpoolFile(bytes)->payload, "hello\n");
  EXPECT_EQ(ParseSpoolFile("CFG:/etc/other.conf\n" + bytes)->payload, "hello\n");
  // The line stays there when the file gets a name of ours.
  EXPECT_EQ(ParseSpoolFile("CFG:/etc/other.conf\n" + bytes, 6)->payload, "hello\n");
}

TEST(SpoolFileTest, RefusesFilesCutAnywhere) {
  const std::string bytes = SampleHeaderText() + "hello\n\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseSpoolFile(std::string_view(bytes).substr(0, size), 6)) << size;
  }
  EXPECT_FALSE(ParseSpoolFile(bytes + "\n", 6));
}

TEST(SpoolFileTest, RefusesABadHeaderValue) {
  HeaderViews headers = SampleHeaders();
  headers[Header::kEventId] = "../../etc/passwd";
  std::string bytes;
  AppendHeaders(bytes, headers);
  EXPECT_FALSE(ParseSpoolFile(bytes + "\n"));
}

}  // namespace
}  // namespace telem
