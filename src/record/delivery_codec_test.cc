#include "record/delivery_codec.h"

#include <gtest/gtest.h>

#include <cstring>

#include "record/headers.h"

namespace telem {
namespace {

const RecordId kId = *ParseRecordId("0123456789abcdef0123456789abcdef");

std::string Encode(std::string_view headers, std::string_view payload) {
  const auto head = EncodeDeliveryHead(kId, headers.size(), payload.size());
  std::string bytes(head.data(), head.size());
  bytes += headers;
  bytes += payload;
  return bytes;
}

TEST(DeliveryCodecTest, SettingsComeBackAsTheyWere) {
  const DeliverySettings settings{.server = "https://host.example/v2/collector",
                                  .server_protocol = "v2",
                                  .tidheader = "X-TID: \"a\"",
                                  .cainfo = "/etc/ca.pem",
                                  .clientcert = "/etc/cert.pem",
                                  .clientkey = "/etc/key.pem",
                                  .proxy = "http://proxy:3128",
                                  .otlp_headers = "Authorization=Bearer%20x,a=b"};
  std::string line = EncodeDeliverySettings(settings);
  ASSERT_TRUE(line.ends_with('\n'));
  line.pop_back();
  EXPECT_EQ(*ParseDeliverySettings(line), settings);
}

TEST(DeliveryCodecTest, SettingsWithMissingAndUnknownKeysAreTaken) {
  const auto settings = ParseDeliverySettings(R"({"server": "http://h/", "later": "x"})");
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->server, "http://h/");
  EXPECT_EQ(settings->server_protocol, "v2");
  EXPECT_FALSE(ParseDeliverySettings("server=http://h/"));
}

TEST(DeliveryCodecTest, KnowsEachProtocolByItsWord) {
  EXPECT_EQ(FindProtocol("v2"), Protocol::kV2);
  EXPECT_EQ(FindProtocol("v3"), Protocol::kV3);
  EXPECT_EQ(FindProtocol("otlp"), Protocol::kOtlp);
  for (const char* word : {"", "V2", "v4", "v2 "}) EXPECT_EQ(FindProtocol(word), std::nullopt);
}

TEST(DeliveryCodecTest, TakesRecordsGluedTogetherAndWaitsAtEveryCut) {
  const std::string one = Encode("h: 1\n", std::string_view("p\0q", 3));
  const std::string glued = one + one;
  std::string_view both = glued;
  for (int i = 0; i < 2; ++i) {
    const auto record = TakeDeliveryRecord(both);
    ASSERT_TRUE(record && *record);
    EXPECT_EQ((*record)->id, kId);
    EXPECT_EQ((*record)->headers, "h: 1\n");
    EXPECT_EQ((*record)->payload, std::string_view("p\0q", 3));
  }
  EXPECT_TRUE(both.empty());
  for (size_t size = 0; size < one.size(); ++size) {
    std::string_view cut(one.data(), size);
    const auto record = TakeDeliveryRecord(cut);
    ASSERT_TRUE(record);
    EXPECT_FALSE(*record);
  }
}

TEST(DeliveryCodecTest, RefusesLyingSizes) {
  std::string bytes = Encode("h", "p");
  const auto with_sizes = [&](uint32_t size, uint32_t header_size) {
    std::memcpy(bytes.data() + kHexIdSize, &size, 4);
    std::memcpy(bytes.data() + kHexIdSize + 4, &header_size, 4);
    std::string_view rest = bytes;
    return TakeDeliveryRecord(rest);
  };
  EXPECT_EQ(with_sizes(1, 2).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(with_sizes(UINT32_MAX, 0).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(with_sizes(UINT32_MAX, UINT32_MAX).error().code, ErrorCode::kTooLarge);
  bytes[0] = 'x';
  EXPECT_EQ(with_sizes(2, 1).error().code, ErrorCode::kInvalid);
}

TEST(DeliveryCodecTest, VerdictsComeBackAsTheyWere) {
  std::string line;
  AppendVerdict(line, {kId, Outcome::kRefused, 413, 7, "too large, says the server"});
  EXPECT_EQ(line, "0123456789abcdef0123456789abcdef refused 413 7 too large, says the server\n");
  line.pop_back();
  const auto verdict = ParseVerdict(line);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->id, kId);
  EXPECT_EQ(verdict->outcome, Outcome::kRefused);
  EXPECT_EQ(verdict->code, 413u);
  EXPECT_EQ(verdict->retry_after, 7u);
  EXPECT_EQ(verdict->text, "too large, says the server");
}

// The text is a server's: it must not be able to forge a second verdict.
TEST(DeliveryCodecTest, ForeignWordsStayOnTheirLine) {
  std::string line;
  AppendVerdict(line, {kId, Outcome::kLater, 500, 0, "a\nb\r\x1e" + std::string(1000, 'c')});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_LT(line.size(), kMaxVerdictLine);
}

TEST(DeliveryCodecTest, FindsNoVerdictInOtherLines) {
  for (const char* line : {"", "x accepted 200 0 ", "0123456789abcdef0123456789abcdef",
                           "0123456789abcdef0123456789abcdef maybe 200 0 ",
                           "0123456789abcdef0123456789abcdef accepted -1 0 ",
                           "0123456789abcdef0123456789abcdef accepted 200 99999999999 "}) {
    EXPECT_FALSE(ParseVerdict(line)) << line;
  }
}

}  // namespace
}  // namespace telem
