#include "deliver/v3_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "record/sample_headers.h"

namespace telem {
namespace {

nlohmann::json BodyOf(std::string payload) {
  const auto request = MakeV3Request({{}, SampleHeaderText(), std::move(payload)}, "X-TID: 1");
  EXPECT_TRUE(request);
  EXPECT_THAT(request->header_lines,
              testing::ElementsAre("X-TID: 1", "Content-Type: application/json"));
  return nlohmann::json::parse(request->body);
}

// telemetrics-client 2.4 cuts every value at its first blank.
TEST(V3ProtocolTest, EveryHeaderIsAStringAndWhole) {
  const auto body = BodyOf("hello\n");
  EXPECT_EQ(body.size(), kHeaderCount + 1);
  for (size_t i = 0; i < kHeaderCount; ++i) {
    EXPECT_EQ(body.at(kHeaderNames[i]), SampleHeaders().values[i]);
  }
  EXPECT_EQ(body.at("cpu_model"), "Example CPU @ 1.90GHz");
  EXPECT_EQ(body.at("payload"), "hello\n");
}

TEST(V3ProtocolTest, ThePayloadMayBeAnyBytes) {
  EXPECT_EQ(BodyOf("").at("payload"), "");
  EXPECT_EQ(BodyOf("Größe \U0001f41e \"\\").at("payload"), "Größe \U0001f41e \"\\");
  const std::string control("\0\x01\n\x7f", 4);
  EXPECT_EQ(BodyOf(control).at("payload"), control);
  EXPECT_EQ(BodyOf("\xff\xe9").at("payload"), "ÿé");
}

TEST(V3ProtocolTest, RefusesWhatIsNoRecord) {
  EXPECT_FALSE(MakeV3Request({{}, "", ""}, "X-TID: 1"));
}

}  // namespace
}  // namespace telem
