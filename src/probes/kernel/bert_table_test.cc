#include "probes/kernel/bert_table.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace telem {
namespace {

std::string Number(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

// a5bc1114-6f64-4ede-b863-3e83ed7c83b1
const std::string kMemory = {'\x14', '\x11', '\xbc', '\xa5', '\x64', '\x6f', '\xde', '\x4e',
                             '\xb8', '\x63', '\x3e', '\x83', '\xed', '\x7c', '\x83', '\xb1'};

std::string Section(const std::string& guid, uint32_t severity, const std::string& data) {
  return guid + Number(severity, 4) + Number(0x300, 2) + Number(0, 2) + Number(data.size(), 4) +
         std::string(16 + 20 + 8, '\0') + data;
}

std::string Block(const std::string& sections, uint32_t severity = 1) {
  return Number(0, 4) + Number(0, 4) + Number(0, 4) + Number(sections.size(), 4) +
         Number(severity, 4) + sections;
}

std::string MemoryData() {
  std::string data = Number(1U << 1 | 1U << 4 | 1U << 14, 8) + Number(0, 8);
  data += Number(0x12345f000, 8) + Number(0, 8) + Number(0, 2) + Number(3, 2);
  data.resize(72, '\0');
  return data + '\x03' + std::string(7, '\0');
}

TEST(BertTableTest, SaysKindSeverityAndAddress) {
  EXPECT_EQ(DescribeErrors(Block(Section(kMemory, 1, MemoryData()))),
            "Severity : fatal\n"
            "Error 1 : memory, fatal, type multi-bit ECC, address 0x12345f000, card 3\n");
}

TEST(BertTableTest, SaysWhatItDoesNotKnow) {
  EXPECT_EQ(DescribeErrors(Block(Section(std::string(16, '\x11'), 9, "x"), 2)),
            "Severity : corrected\n"
            "Error 1 : section 11111111-1111-1111-1111-111111111111, of unknown severity\n");
}

TEST(BertTableTest, WhatIsCutAnywhereIsToldAsFarAsItGoes) {
  const std::string whole =
      Block(Section(kMemory, 1, MemoryData()) + Section(kMemory, 2, MemoryData()));
  for (size_t size = 0; size <= whole.size(); ++size) {
    const std::string text = DescribeErrors(whole.substr(0, size));
    EXPECT_EQ(text.empty(), size < 20) << size;
  }
}

// Firmware puts one block behind the other; where a block has raw data, the next is behind them.
TEST(BertTableTest, EveryBlockIsDescribed) {
  const std::string first = Block(Section(kMemory, 1, MemoryData()));
  std::string second = Block(Section(std::string(16, '\x11'), 2, "x"), 2);
  const std::string raw = "raw";
  second.replace(4, 8, Number(second.size(), 4) + Number(raw.size(), 4));
  EXPECT_EQ(DescribeErrors(first + second + raw + first + std::string(200, '\0')),
            "Severity : fatal\n"
            "Error 1 : memory, fatal, type multi-bit ECC, address 0x12345f000, card 3\n"
            "Severity : corrected\n"
            "Error 2 : section 11111111-1111-1111-1111-111111111111, corrected\n"
            "Severity : fatal\n"
            "Error 3 : memory, fatal, type multi-bit ECC, address 0x12345f000, card 3\n");
}

TEST(BertTableTest, AnEmptyTableHasNoError) {
  EXPECT_FALSE(HasError(""));
  EXPECT_FALSE(HasError(std::string(4096, '\0')));
  EXPECT_TRUE(HasError(std::string(4096, '\0') + "x"));
  EXPECT_EQ(DescribeErrors(std::string(4096, '\0')), "");
}

TEST(BertTableTest, WritesBase64InLinesOf76Characters) {
  EXPECT_EQ(WriteBertPayload("a", 1000), "YQ==\n");
  EXPECT_EQ(WriteBertPayload("ab", 1000), "YWI=\n");
  EXPECT_EQ(WriteBertPayload(std::string(57, 'a'), 1000),
            "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh\n");
  EXPECT_EQ(WriteBertPayload(std::string(58, 'a'), 1000).find('\n'), 76U);
}

TEST(BertTableTest, SaysHowMuchOfALargeTableIsLeftOut) {
  const std::string table = Block(Section(kMemory, 1, MemoryData())) + std::string(300'000, 'x');
  const std::string payload = WriteBertPayload(table, 256 * 1024);
  EXPECT_LE(payload.size(), 256U * 1024);
  EXPECT_GT(payload.size(), 250U * 1024);
  EXPECT_NE(payload.find("Error 1 : memory"), std::string::npos);
  const size_t at = payload.find("Left out : ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_TRUE(payload.ends_with(" bytes\n"));
}

}  // namespace
}  // namespace telem
