#include "record/http_codec.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(HttpCodecTest, KnowsWhatCanStandAsOneHeaderLine) {
  EXPECT_TRUE(IsHttpHeaderLine("X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f"));
  EXPECT_TRUE(IsHttpHeaderLine("a:"));
  for (const char* bad :
       {"", ":", "no colon", ": x", "a b: c", "a: b\r\nEvil: 1", "a\n: b", "(a): b"}) {
    EXPECT_FALSE(IsHttpHeaderLine(bad)) << bad;
  }
}

TEST(HttpCodecTest, FindsHeadersWhateverProxiesDidToThem) {
  EXPECT_EQ(FindHeaderByHttpName("record_format_version"), Header::kRecordFormatVersion);
  EXPECT_EQ(FindHeaderByHttpName("Record-Format-Version"), Header::kRecordFormatVersion);
  EXPECT_EQ(FindHeaderByHttpName("EVENT_ID"), Header::kEventId);
  EXPECT_EQ(FindHeaderByHttpName("event"), std::nullopt);
  EXPECT_EQ(FindHeaderByHttpName("event_id2"), std::nullopt);
}

}  // namespace
}  // namespace telem
