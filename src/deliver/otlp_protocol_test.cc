#include "deliver/otlp_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <nlohmann/json.hpp>

#include "record/sample_headers.h"

namespace telem {
namespace {

using Json = nlohmann::json;

std::string Gunzip(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(::inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string out(size_t{1024} * 1024, '\0');
  std::string in(bytes);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::inflateEnd(&stream);
  return out;
}

OutgoingRecord Record(std::string payload, HeaderViews headers = SampleHeaders()) {
  OutgoingRecord record{MakeRecordId(WallTime(std::chrono::milliseconds(1'795'445'503'123))), "",
                        std::move(payload)};
  AppendHeaders(record.header_text, headers);
  return record;
}

Json Send(const std::vector<OutgoingRecord>& records) {
  const auto request = MakeOtlpRequest(records, "X-TID: 1");
  EXPECT_TRUE(request);
  const bool is_compressed = request->header_lines.back() == "Content-Encoding: gzip";
  return Json::parse(is_compressed ? Gunzip(request->body) : request->body);
}

std::map<std::string, std::string> AttributesOf(const Json& object) {
  std::map<std::string, std::string> attributes;
  for (const Json& attribute : object.at("attributes")) {
    attributes[attribute.at("key")] = attribute.at("value").at("stringValue");
  }
  return attributes;
}

Json OnlyLogRecord(const Json& body) {
  EXPECT_EQ(body.at("resourceLogs").size(), 1u);
  const Json& scopes = body.at("resourceLogs")[0].at("scopeLogs");
  EXPECT_EQ(scopes.size(), 1u);
  EXPECT_EQ(scopes[0].at("logRecords").size(), 1u);
  return scopes[0].at("logRecords")[0];
}

TEST(OtlpProtocolTest, EveryHeaderHasItsField) {
  const OutgoingRecord record = Record("hello\n");
  const Json body = Send({record});
  const Json log = OnlyLogRecord(body);
  EXPECT_EQ(log.at("timeUnixNano"), "1795445503000000000");
  EXPECT_EQ(log.at("observedTimeUnixNano"), "1795445503123000000");
  EXPECT_EQ(log.at("severityNumber"), 9);
  EXPECT_EQ(log.at("eventName"), "org.example/test/one");
  EXPECT_EQ(log.at("body"), (Json{{"stringValue", "hello\n"}}));
  EXPECT_EQ(AttributesOf(log), (std::map<std::string, std::string>{
                                   {"telemetry.classification", "org.example/test/one"},
                                   {"telemetry.event_id", "0123456789abcdef0123456789abcdef"},
                                   {"telemetry.record_id", record.id.ToHex()},
                                   {"telemetry.payload_format_version", "1"}}));
  EXPECT_EQ(
      AttributesOf(body.at("resourceLogs")[0].at("resource")),
      (std::map<std::string, std::string>{{"service.name", "telemetrics"},
                                          {"host.id", "FFFFFFFF"},
                                          {"host.arch", "amd64"},
                                          {"host.cpu.model.name", "Example CPU @ 1.90GHz"},
                                          {"os.type", "linux"},
                                          {"os.name", "debian"},
                                          {"os.version", "12"},
                                          {"os.build_id", "12"},
                                          {"telemetry.host_type", "Example Inc.|Laptop 13|1.0"},
                                          {"telemetry.board_name", "BRD-1|Example Inc."},
                                          {"telemetry.bios_version", "1.23 (Example)"},
                                          {"telemetry.kernel_version", "6.1.0-28-amd64"}}));
}

TEST(OtlpProtocolTest, SeveritiesAreInfoWarnErrorAndFatal) {
  const std::map<std::string, int> numbers = {{"1", 9}, {"2", 13}, {"3", 17}, {"4", 21}};
  for (const auto& [severity, number] : numbers) {
    HeaderViews headers = SampleHeaders();
    headers[Header::kSeverity] = severity;
    EXPECT_EQ(OnlyLogRecord(Send({Record("", headers)})).at("severityNumber"), number);
  }
}

TEST(OtlpProtocolTest, BytesThatAreNoTextTravelAsBytes) {
  const std::map<std::string, std::string> bytes = {{"\xff", "/w=="},
                                                    {"\xff\xfe", "//4="},
                                                    {"\xff\xfe\xfd", "//79"},
                                                    {"a\xff\xfe\xfd", "Yf/+/Q=="}};
  for (const auto& [payload, base64] : bytes) {
    EXPECT_EQ(OnlyLogRecord(Send({Record(payload)})).at("body"), (Json{{"bytesValue", base64}}));
  }
  const std::string text("Größe\0\x01\"\\", 10);
  EXPECT_EQ(OnlyLogRecord(Send({Record(text)})).at("body"), (Json{{"stringValue", text}}));
}

TEST(OtlpProtocolTest, ATimeThatCannotBeIsUnknown) {
  HeaderViews headers = SampleHeaders();
  headers[Header::kCreationTimestamp] = "18446744074";  // one second more than 64 bits hold
  EXPECT_EQ(OnlyLogRecord(Send({Record("", headers)})).at("timeUnixNano"), "0");
}

TEST(OtlpProtocolTest, RecordsOfOneMachineShareAResource) {
  HeaderViews other = SampleHeaders();
  other[Header::kMachineId] = "0123";
  const Json resources = Send({Record("a"), Record("b", other), Record("c")}).at("resourceLogs");
  ASSERT_EQ(resources.size(), 2u);
  EXPECT_EQ(AttributesOf(resources[0].at("resource")).at("host.id"), "FFFFFFFF");
  const Json& logs = resources[0].at("scopeLogs")[0].at("logRecords");
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].at("body").at("stringValue"), "a");
  EXPECT_EQ(logs[1].at("body").at("stringValue"), "c");
  EXPECT_EQ(resources[1].at("scopeLogs")[0].at("logRecords").size(), 1u);
}

// Even a short record is more than 1 KiB with its resource.
TEST(OtlpProtocolTest, IsCompressedWhereThatPays) {
  const auto request = MakeOtlpRequest(std::vector{Record(std::string(100'000, 'x'))}, "X-TID: 1");
  ASSERT_TRUE(request);
  EXPECT_THAT(
      request->header_lines,
      testing::ElementsAre("X-TID: 1", "Content-Type: application/json", "Content-Encoding: gzip"));
  EXPECT_LT(request->body.size(), 2000u);
}

TEST(OtlpProtocolTest, AddsThePathOfLogsToTheServer) {
  EXPECT_EQ(OtlpUrl("http://host:4318"), "http://host:4318/v1/logs");
  EXPECT_EQ(OtlpUrl("https://host/otlp/"), "https://host/otlp/v1/logs");
}

TEST(OtlpProtocolTest, RefusesWhatIsNoRecord) {
  EXPECT_FALSE(MakeOtlpRequest(std::vector{OutgoingRecord{}}, "X-TID: 1"));
}

}  // namespace
}  // namespace telem
