#include "record/frame_codec.h"

#include <gtest/gtest.h>

#include <cstring>

#include "record/sample_headers.h"

namespace telem {
namespace {

std::string Word(uint32_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// A frame as 2.x counts: size is the length of everything.
std::string Frame2x(std::string_view prefix, std::string_view headers, std::string_view payload) {
  const auto size =
      static_cast<uint32_t>(4 + prefix.size() + 4 + headers.size() + payload.size() + 1);
  std::string frame = Word(size);
  frame += prefix;
  frame += Word(static_cast<uint32_t>(headers.size()));
  frame += headers;
  frame += payload;
  frame += '\0';
  EXPECT_EQ(frame.size(), size);
  return frame;
}

void ExpectFrame(const std::string& bytes, bool closed, std::string_view headers,
                 std::string_view payload) {
  std::string_view rest = bytes;
  const auto frame = TakeFrame(rest, closed);
  ASSERT_TRUE(frame) << frame.error().message;
  ASSERT_TRUE(*frame);
  EXPECT_EQ((*frame)->headers, headers);
  EXPECT_EQ((*frame)->payload, payload);
  EXPECT_TRUE(rest.empty());
}

TEST(FrameCodecTest, TakesWhatItEncodes) {
  const std::string headers = SampleHeaderText();
  ExpectFrame(EncodeFrame(headers, "hello\n"), false, headers, "hello\n");
  ExpectFrame(EncodeFrame(headers, ""), false, headers, "");
  ExpectFrame(EncodeFrame(headers, std::string_view("\0\xff\0", 3)), false, headers,
              std::string_view("\0\xff\0", 3));
  ExpectFrame(EncodeFrame(headers, std::string(kMaxPayload, 'p')), false, headers,
              std::string(kMaxPayload, 'p'));
}

TEST(FrameCodecTest, TakesBothWaysOfCounting2x) {
  const std::string headers = SampleHeaderText();
  ExpectFrame(Frame2x("", headers, "hello\n"), true, headers, "hello\n");
  ExpectFrame(Frame2x("", headers, std::string(kMaxPayload, 'p')), true, headers,
              std::string(kMaxPayload, 'p'));
  ExpectFrame(Frame2x(std::string_view("CFG:/etc/other.conf\0", 20), headers, "hello\n"), false,
              headers, "hello\n");
}

TEST(FrameCodecTest, SaysWhenA2xFrameCarriedAPath) {
  const std::string bytes = Frame2x(std::string_view("CFG:/x\0", 7), SampleHeaderText(), "p");
  std::string_view rest = bytes;
  EXPECT_TRUE((*TakeFrame(rest, false))->had_config_path);
  const std::string plain = EncodeFrame(SampleHeaderText(), "p");
  rest = plain;
  EXPECT_FALSE((*TakeFrame(rest, false))->had_config_path);
}

TEST(FrameCodecTest, WaitsForMoreBytesAtEveryCut) {
  for (const std::string& bytes :
       {EncodeFrame(SampleHeaderText(), "hello\n"),
        Frame2x(std::string_view("CFG:/etc/other.conf\0", 20), SampleHeaderText(), "hello\n")}) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      std::string_view cut(bytes.data(), size);
      const auto open = TakeFrame(cut, false);
      ASSERT_TRUE(open) << size;
      EXPECT_FALSE(*open) << size;
      EXPECT_EQ(cut.size(), size);
    }
  }
}

TEST(FrameCodecTest, RefusesEveryCutOnceThePeerHasClosed) {
  const std::string bytes = EncodeFrame(SampleHeaderText(), "hello\n");
  std::string_view nothing;
  EXPECT_TRUE(TakeFrame(nothing, true));
  for (size_t size = 1; size < bytes.size(); ++size) {
    std::string_view cut(bytes.data(), size);
    EXPECT_FALSE(TakeFrame(cut, true)) << size;
  }
}

TEST(FrameCodecTest, TakesFramesGluedTogether) {
  std::string bytes;
  for (int i = 0; i < 10; ++i) bytes += EncodeFrame(SampleHeaderText(), std::to_string(i));
  std::string_view rest = bytes;
  for (int i = 0; i < 10; ++i) {
    const auto frame = TakeFrame(rest, false);
    ASSERT_TRUE(frame && *frame);
    EXPECT_EQ((*frame)->payload, std::to_string(i));
  }
  EXPECT_TRUE(rest.empty());
}

// Four bytes `ff ff ff ff` made the predecessor allocate 4 GiB.
TEST(FrameCodecTest, RefusesLyingSizesBeforeAnythingIsAllocated) {
  struct Case {
    std::string bytes;
    ErrorCode code;
  };
  const Case cases[] = {
      {Word(0xffffffff) + Word(10), ErrorCode::kTooLarge},
      {Word(10) + Word(11), ErrorCode::kInvalid},
      {Word(0xffffffff) + Word(0xffffffff), ErrorCode::kTooLarge},
      {Word(static_cast<uint32_t>(kMaxPayload + 10 + 10)) + Word(10), ErrorCode::kTooLarge},
      {Word(0xffffffff) + "CFG:/x", ErrorCode::kTooLarge},
      {Word(10) + std::string_view("CFG:/\0", 6).data() + std::string(8, '\0'),
       ErrorCode::kInvalid},
      {Word(100'000) + "CFG:" + std::string(5000, 'x'), ErrorCode::kInvalid},
  };
  for (const Case& c : cases) {
    std::string_view bytes = c.bytes;
    const auto frame = TakeFrame(bytes, false);
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code, c.code) << frame.error().message;
  }
}

// Eight bytes and a close once underflowed a size and ended the daemon.
TEST(FrameCodecTest, RefusesAFrameTooShortToBeOneOf2x) {
  for (uint32_t size = 0; size <= 16; ++size) {
    for (uint32_t header_size = 0; header_size <= size; ++header_size) {
      const std::string bytes = Word(size) + Word(header_size) + std::string(8, '\0');
      for (size_t cut = 8; cut <= bytes.size() && cut < 9 + size; ++cut) {
        std::string_view rest(bytes.data(), cut);
        const auto frame = TakeFrame(rest, true);
        EXPECT_TRUE(!frame || (*frame && (*frame)->headers.size() == header_size));
      }
    }
  }
}

TEST(FrameCodecTest, RefusesAPayloadOneByteAboveTheLimit) {
  const std::string bytes = EncodeFrame(SampleHeaderText(), std::string(kMaxPayload + 1, 'p'));
  std::string_view rest = bytes;
  const auto frame = TakeFrame(rest, false);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, ErrorCode::kTooLarge);
}

TEST(FrameCodecTest, RefusesAFrameThatDoesNotEndWithNul) {
  std::string bytes = EncodeFrame(SampleHeaderText(), "hello\n");
  bytes.back() = 'x';
  std::string_view rest = bytes;
  EXPECT_FALSE(TakeFrame(rest, false));
}

}  // namespace
}  // namespace telem
