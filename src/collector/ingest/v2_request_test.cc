#include "collector/ingest/v2_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "record/sample_headers.h"

namespace telem {
namespace {

using ::testing::HasSubstr;

const std::string kTid = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";
const WallTime kNow{std::chrono::seconds(1'795'445'503)};

// A request whose fields tests change one at a time.
class V2RequestTest : public ::testing::Test {
 protected:
  V2RequestTest() {
    const HeaderViews sample = SampleHeaders();
    for (size_t i = 0; i < kHeaderCount; ++i)
      fields_.push_back({kHeaderNames[i], sample.values[i]});
    fields_.push_back({kTidHeader, kTid});
    fields_.push_back({"Content-Type", "application/text"});
  }

  void Set(std::string_view name, std::string_view value) {
    for (HttpField& field : fields_) {
      if (field.name == name) field.value = value;
    }
  }

  void Remove(std::string_view name) {
    std::erase_if(fields_, [&](const HttpField& field) { return field.name == name; });
  }

  Result<IncomingRecord> Read() const { return ReadV2Request(fields_, "hello\n", {kTid}, kNow); }

  std::string Mistake() const {
    const auto record = Read();
    return record ? "" : record.error().message;
  }

  void ExpectTaken(std::string_view name, std::initializer_list<std::string_view> values) {
    for (const std::string_view value : values) {
      Set(name, value);
      EXPECT_EQ(Mistake(), "") << name << ": " << value;
    }
  }

  void ExpectRefused(std::string_view name, std::initializer_list<std::string_view> values) {
    for (const std::string_view value : values) {
      Set(name, value);
      EXPECT_THAT(Mistake(), HasSubstr(name)) << name << ": " << value;
    }
  }

  std::vector<HttpField> fields_;
};

TEST_F(V2RequestTest, TakesARecordAsClientsSendIt) {
  const auto record = Read();
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->payload, "hello\n");
  EXPECT_EQ(record->received, kNow);
  EXPECT_EQ(record->creation_timestamp, 1'795'445'503u);
  EXPECT_EQ(record->headers[Header::kClassification], "org.example/test/one");
  EXPECT_EQ(record->headers[Header::kHostType], "Example Inc.|Laptop 13|1.0");
}

TEST_F(V2RequestTest, TakesTheQuotesOfOsReleaseOff) {
  Set("system_name", "'debian'");
  EXPECT_EQ(Read()->headers[Header::kBuild], "12");
  EXPECT_EQ(Read()->headers[Header::kSystemName], "debian");
  ExpectRefused("build", {"\"\"", "\"", "' '"});
}

TEST_F(V2RequestTest, FindsHeadersWhateverProxiesDidToTheirNames) {
  fields_[1].name = "Classification";
  fields_[3].name = "MACHINE-ID";
  fields_[9].name = "Payload-Format-Version";
  fields_[15].name = "x_telemetry_tid";
  EXPECT_EQ(Mistake(), "");
}

TEST_F(V2RequestTest, WantsATelemetryIdThatIsConfigured) {
  ExpectRefused("X-Telemetry-TID", {"", "x", "6907c830-eed9-4ce9-81ae-76daf8d88f0"});
  Set("X-Telemetry-TID", kTid);
  EXPECT_TRUE(ReadV2Request(fields_, "", {"other", kTid}, kNow));
  EXPECT_FALSE(ReadV2Request(fields_, "", {"other"}, kNow));
  Remove("X-Telemetry-TID");
  EXPECT_THAT(Mistake(), HasSubstr("X-Telemetry-TID: missing"));
}

TEST_F(V2RequestTest, WantsTheHeadersOfEachFormatVersion) {
  const std::map<std::string_view, size_t> required = {{"1", 10}, {"2", 11}, {"3", 14}, {"4", 15}};
  const std::vector<HttpField> all = fields_;
  for (const auto& [version, count] : required) {
    size_t missed = 0;
    for (const std::string_view name : kHeaderNames) {
      fields_ = all;
      Set("record_format_version", version);
      Remove(name);
      if (Mistake() == std::string(name) + ": missing") ++missed;
    }
    EXPECT_EQ(missed, count) << "version " << version;
  }
}

TEST_F(V2RequestTest, KeepsAbsentHeadersApartFromPresentOnes) {
  Set("record_format_version", "1");
  Remove("event_id");
  const auto record = Read();
  ASSERT_TRUE(record);
  EXPECT_FALSE(IsPresent(record->headers[Header::kEventId]));
  EXPECT_TRUE(IsPresent(record->headers[Header::kHostType]));
}

TEST_F(V2RequestTest, ChecksHeadersBeyondThoseThatAVersionRequires) {
  Set("record_format_version", "1");
  ExpectRefused("event_id", {"x"});
}

TEST_F(V2RequestTest, ChecksFormatVersionAndSeverity) {
  ExpectTaken("severity", {"1", "2", "3", "4", " 4 "});
  ExpectRefused("severity", {"0", "5", "-1", "01", "11", "x", "", "1.0"});
  Set("severity", "1");
  ExpectRefused("record_format_version", {"0", "5", "04", "x", "", "4294967300"});
}

TEST_F(V2RequestTest, ChecksClassification) {
  ExpectTaken("classification", {"a/b/c", "org.example/<b>/\"x\""});
  ExpectRefused("classification", {"", "a/b", "a/b/c/d", "a//c", "/b/c", "a/b/"});
  ExpectRefused("classification", {std::string(41, 'a') + "/b/c"});
}

TEST_F(V2RequestTest, ChecksMachineId) {
  ExpectTaken("machine_id", {"1", "FFFFFFFF", "static id", std::string(32, 'x')});
  ExpectRefused("machine_id", {"", std::string(33, 'x'),
                               "a\x01"
                               "b",
                               "\xc3\xa4"});
}

TEST_F(V2RequestTest, ChecksTheTimestampAgainstTheClock) {
  ExpectTaken("creation_timestamp", {"946684800", "1795445503", "1795531903"});
  ExpectRefused("creation_timestamp", {"946684799", "1795531904", "0", "-1", "1e9", "",
                                       "18446744073709551615", "99999999999999999999999999"});
}

TEST_F(V2RequestTest, GivesANumberOneSpelling) {
  Set("creation_timestamp", "0001795445503");
  Set("payload_format_version", "007");
  EXPECT_EQ(Read()->headers[Header::kCreationTimestamp], "1795445503");
  EXPECT_EQ(Read()->headers[Header::kPayloadFormatVersion], "7");
  ExpectTaken("payload_format_version", {"0", "000", "4294967295"});
  ExpectRefused("payload_format_version", {"4294967296", "-1", "x", ""});
}

// The public server refused "6.1", and architectures that it did not know.
TEST_F(V2RequestTest, TakesRealKernelsAndArchitectures) {
  ExpectTaken("kernel_version", {"6.1", "6.1.0-28-amd64", "5.15.0", "7.0-rc1+"});
  ExpectRefused("kernel_version", {"6", "6.", ".1", "x.1", "6.x", "", "v6.1"});
  Set("kernel_version", "6.1");
  ExpectTaken("arch", {"x86_64", "riscv64", "ppc64le", "s390x", "aarch64", "i686"});
  ExpectRefused("arch", {"", "X86", "x86-64", std::string(33, 'a')});
}

TEST_F(V2RequestTest, WantsDigitsAsTheBuildOfClearLinuxOnly) {
  ExpectTaken("build", {"12", "\"22.04\"", "2024-01-01_b", "0"});
  ExpectRefused("build", {"1 2", "1/2", "<b>", "\"12\"3\""});
  Set("system_name", "clear-linux-os");
  ExpectTaken("build", {"41000", "\"41000\""});
  ExpectRefused("build", {"41000b", "41.0"});
}

TEST_F(V2RequestTest, ChecksEventId) {
  ExpectTaken("event_id", {"0123456789abcdef0123456789abcdef"});
  ExpectRefused("event_id", {"0123456789ABCDEF0123456789ABCDEF", "0123", "",
                             "0123456789abcdef0123456789abcdef0"});
}

TEST_F(V2RequestTest, BoundsEveryValue) {
  ExpectTaken("host_type", {std::string(249, 'x')});
  ExpectRefused("host_type", {std::string(250, 'x')});
  Set("host_type", "x");
  for (const std::string_view name : {"board_name", "cpu_model", "bios_version", "system_name"}) {
    ExpectTaken(name, {std::string(199, 'x')});
    ExpectRefused(name,
                  {std::string(200, 'x'), "", "\t", "a\x7f", "a\xff", std::string("a\0b", 3)});
    Set(name, "x");
  }
}

TEST_F(V2RequestTest, RefusesAHeaderThatStandsTwice) {
  fields_.push_back({"Severity", "1"});
  EXPECT_EQ(Mistake(), "severity: given twice");
}

}  // namespace
}  // namespace telem
