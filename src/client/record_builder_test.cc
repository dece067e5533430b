#include "client/record_builder.h"

#include <gtest/gtest.h>

#include "record/headers.h"

namespace telem {
namespace {

constexpr std::string_view kEventId = "0123456789abcdef0123456789abcdef";

HostFacts ExampleHost() {
  return {.arch = "x86_64",
          .host_type = "Example Inc.|Laptop 13|1.0",
          .build = "\"12\"",
          .kernel_version = "6.1.0-28-amd64",
          .system_name = "debian",
          .board_name = "BRD-1|Example Inc.",
          .cpu_model = "Example CPU @ 1.90GHz",
          .bios_version = "1.23 (Example)"};
}

WallTime At(int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

Result<RecordBuilder> Make(const HostFacts& host, uint32_t severity = 1,
                           std::string_view classification = "org.example/test/one") {
  return RecordBuilder::Create(severity, classification, 2, host, At(1'795'445'503'999));
}

TEST(RecordBuilderTest, WritesTheFifteenHeadersInTheirOrder) {
  const HostFacts host = ExampleHost();
  auto record = Make(host, 3);
  ASSERT_TRUE(record);
  ASSERT_TRUE(record->SetEventId(kEventId));
  EXPECT_EQ(record->HeaderText(),
            "record_format_version: 4\n"
            "classification: org.example/test/one\n"
            "severity: 3\n"
            "machine_id: FFFFFFFF\n"
            "creation_timestamp: 1795445503\n"
            "arch: x86_64\n"
            "host_type: Example Inc.|Laptop 13|1.0\n"
            "build: \"12\"\n"
            "kernel_version: 6.1.0-28-amd64\n"
            "payload_format_version: 2\n"
            "system_name: debian\n"
            "board_name: BRD-1|Example Inc.\n"
            "cpu_model: Example CPU @ 1.90GHz\n"
            "bios_version: 1.23 (Example)\n"
            "event_id: 0123456789abcdef0123456789abcdef\n");
}

TEST(RecordBuilderTest, ClampsTheSeverity) {
  const HostFacts host = ExampleHost();
  const auto severity = [&](uint32_t given) {
    const std::string text = Make(host, given)->HeaderText();
    return std::string((*SplitHeaders(text))[Header::kSeverity]);
  };
  EXPECT_EQ(severity(0), "1");
  EXPECT_EQ(severity(1), "1");
  EXPECT_EQ(severity(4), "4");
  EXPECT_EQ(severity(5), "4");
  EXPECT_EQ(severity(UINT32_MAX), "4");
}

TEST(RecordBuilderTest, GivesEachRecordAnEventIdOfItsOwn) {
  const HostFacts host = ExampleHost();
  const std::string first = Make(host)->HeaderText();
  const std::string second = Make(host)->HeaderText();
  const auto headers = SplitHeaders(first);
  ASSERT_TRUE(headers);
  EXPECT_TRUE(CheckHeaders(*headers));
  EXPECT_NE((*headers)[Header::kEventId], (*SplitHeaders(second))[Header::kEventId]);
}

TEST(RecordBuilderTest, RefusesClassificationsOfAnotherForm) {
  const HostFacts host = ExampleHost();
  EXPECT_TRUE(Make(host, 1, std::string(40, 'a') + "/b/" + std::string(40, 'c')));
  for (const std::string& bad :
       {std::string(""), std::string("a/b"), std::string("a//c"), std::string("a/b/c/d"),
        std::string("a/b/c\n"), std::string("a/b/\xc3\xa4"), std::string(41, 'a') + "/b/c"}) {
    EXPECT_FALSE(Make(host, 1, bad)) << bad;
  }
}

TEST(RecordBuilderTest, RefusesEventIdsOfAnotherFormAndKeepsTheOneItHas) {
  const HostFacts host = ExampleHost();
  auto record = Make(host);
  ASSERT_TRUE(record->SetEventId(kEventId));
  for (const std::string_view bad : {"", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef",
                                     "0123456789abcdef0123456789abcdef0"}) {
    EXPECT_FALSE(record->SetEventId(bad)) << bad;
  }
  const std::string text = record->HeaderText();
  EXPECT_EQ((*SplitHeaders(text))[Header::kEventId], kEventId);
}

TEST(RecordBuilderTest, TakesAPayloadUpToTheLimitAndKeepsItWhenOneIsTooLarge) {
  const HostFacts host = ExampleHost();
  auto record = Make(host);
  ASSERT_TRUE(record->SetPayload(std::string(kMaxPayload, 'p')));
  EXPECT_FALSE(record->SetPayload(std::string(kMaxPayload + 1, 'q')));
  EXPECT_EQ(record->payload(), std::string(kMaxPayload, 'p'));
}

TEST(RecordBuilderTest, LetsNothingOfTheHostBreakALine) {
  HostFacts host = ExampleHost();
  host.bios_version = "1\nseverity: 4";
  host.cpu_model = std::string(4096, 'x');
  const std::string text = Make(host)->HeaderText();
  const auto headers = SplitHeaders(text);
  ASSERT_TRUE(headers);
  EXPECT_EQ((*headers)[Header::kBiosVersion], "1?severity: 4");
  EXPECT_EQ((*headers)[Header::kCpuModel], std::string(199, 'x'));
}

}  // namespace
}  // namespace telem
