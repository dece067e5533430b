#include "record/http_codec.h"

#include <gmock/gmock.h>
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

TEST(HttpCodecTest, KnowsServersAndProxies) {
  for (const char* both : {"http://a", "https://user:password@a.example:1/b?c"}) {
    EXPECT_TRUE(IsServerUrl(both)) << both;
    EXPECT_TRUE(IsProxyUrl(both)) << both;
  }
  for (const char* proxy : {"socks5://a:1080", "socks5h://a"}) {
    EXPECT_FALSE(IsServerUrl(proxy)) << proxy;
    EXPECT_TRUE(IsProxyUrl(proxy)) << proxy;
  }
  for (const char* neither :
       {"", "a", "a:3128", "ftp://a", "http://", "http://a b", "http://a\n"}) {
    EXPECT_FALSE(IsServerUrl(neither)) << neither;
    EXPECT_FALSE(IsProxyUrl(neither)) << neither;
  }
}

TEST(HttpCodecTest, ReadsHeadersInTheFormOfOpenTelemetry) {
  EXPECT_THAT(*ParseOtlpHeaders("Authorization=Basic%20YWJj==, x-scope = a%2Cb ,,empty="),
              testing::ElementsAre("Authorization: Basic YWJj==", "x-scope: a,b", "empty: "));
  EXPECT_THAT(*ParseOtlpHeaders(""), testing::IsEmpty());
  for (const char* bad : {"word", "=value", "a b=c", "a=%2", "a=%zz", "a=b%0d%0aEvil: 1", "a=%00",
                          "a: b=c", "a=b\nc=d"}) {
    EXPECT_FALSE(ParseOtlpHeaders(bad)) << bad;
  }
  EXPECT_FALSE(ParseOtlpHeaders("a=" + std::string(kMaxHeaderLine, 'x')));
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
