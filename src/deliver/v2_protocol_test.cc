#include "deliver/v2_protocol.h"

#include <gtest/gtest.h>

#include "record/sample_headers.h"

namespace telem {
namespace {

TEST(V2ProtocolTest, HeadersKeepTheirOrderAndThePayloadItsBytes) {
  const std::string payload("a\0b\n", 4);
  const auto request = MakeV2Request({{}, SampleHeaderText(), payload}, "X-TID: 1");
  ASSERT_TRUE(request);
  ASSERT_EQ(request->header_lines.size(), kHeaderCount + 2);
  EXPECT_EQ(request->header_lines.front(), "record_format_version: 4");
  EXPECT_EQ(request->header_lines[kHeaderCount - 1], "event_id: 0123456789abcdef0123456789abcdef");
  EXPECT_EQ(request->header_lines[kHeaderCount], "X-TID: 1");
  EXPECT_EQ(request->header_lines.back(), "Content-Type: application/text");
  EXPECT_EQ(request->body, payload);
}

// Carriage returns and newlines in a value would become headers of somebody else's making.
TEST(V2ProtocolTest, RefusesWhatWouldForgeAHeader) {
  std::string text = SampleHeaderText();
  const size_t at = text.find("6.1.0");
  ASSERT_NE(at, std::string::npos);
  text[at] = '\r';
  EXPECT_FALSE(MakeV2Request({{}, text, ""}, "X-TID: 1"));
  EXPECT_FALSE(MakeV2Request({{}, "", ""}, "X-TID: 1"));
}

}  // namespace
}  // namespace telem
