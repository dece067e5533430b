#include "record/frame_codec.h"

#include <algorithm>
#include <cstring>

namespace telem {
namespace {

constexpr size_t kWord = sizeof(uint32_t);
constexpr size_t kOverhead2x = 2 * kWord + 1;  // what 2.x counts and 1.x does not
constexpr std::string_view kConfigMark = "CFG:";
constexpr size_t kMaxConfigPath = 4096;

uint32_t WordAt(std::string_view bytes, size_t at) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

std::unexpected<Error> Malformed(const char* why) { return Fail(ErrorCode::kInvalid, why); }

Status CheckSizes(size_t size, size_t header_size) {
  if (header_size > size) return Malformed("headers larger than the frame");
  if (header_size > kMaxHeaders) return Fail(ErrorCode::kTooLarge, "headers too large");
  if (size - header_size > kMaxPayload) return Fail(ErrorCode::kTooLarge, "payload too large");
  return {};
}

// The frame whose header_size stands at `at`, with `content` bytes of headers and payload behind
// it. All of it, the NUL too, is in `bytes`.
Result<std::optional<Frame>> Cut(std::string_view& bytes, size_t at, size_t header_size,
                                 size_t content) {
  const std::string_view body = bytes.substr(at + kWord, content);
  if (bytes[at + kWord + content] != '\0') return Malformed("no NUL at the end of the frame");
  bytes.remove_prefix(at + kWord + content + 1);
  return Frame{.headers = body.substr(0, header_size),
               .payload = body.substr(header_size),
               .had_config_path = at != kWord};
}

// 2.x with a configuration path: size counts everything.
Result<std::optional<Frame>> TakeFrameWithPath(std::string_view& bytes, size_t size) {
  if (size > kMaxFrame + kMaxConfigPath) return Fail(ErrorCode::kTooLarge, "frame too large");
  // Looked for no further than where it must have ended, however much has arrived already.
  const size_t longest = std::min(size, kWord + kMaxConfigPath + 1);
  const size_t path_end = bytes.substr(0, longest).find('\0', kWord);
  if (path_end == std::string_view::npos) {
    if (bytes.size() >= longest) return Malformed("path without an end");
    return std::nullopt;
  }
  const size_t at = path_end + 1;
  if (size < at + kWord + 1) return Malformed("frame shorter than its parts");
  if (bytes.size() < at + kWord) return std::nullopt;
  const size_t content = size - at - kWord - 1;
  const size_t header_size = WordAt(bytes, at);
  TELEM_CHECK(CheckSizes(content, header_size));
  if (bytes.size() < size) return std::nullopt;
  return Cut(bytes, at, header_size, content);
}

}  // namespace

std::string EncodeFrame(std::string_view headers, std::string_view payload) {
  const auto size = static_cast<uint32_t>(headers.size() + payload.size());
  const auto header_size = static_cast<uint32_t>(headers.size());
  std::string frame;
  frame.reserve(2 * kWord + size + 1);
  frame.append(reinterpret_cast<const char*>(&size), sizeof size);
  frame.append(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  frame += headers;
  frame += payload;
  frame += '\0';
  return frame;
}

Result<std::optional<Frame>> TakeFrame(std::string_view& bytes, bool closed) {
  auto incomplete = [&]() -> Result<std::optional<Frame>> {
    if (closed && !bytes.empty()) return Malformed("connection closed within a frame");
    return std::nullopt;
  };
  if (bytes.size() < 2 * kWord) return incomplete();
  const size_t size = WordAt(bytes, 0);
  if (bytes.substr(kWord).starts_with(kConfigMark)) {
    TELEM_TRY(auto frame, TakeFrameWithPath(bytes, size));
    return frame ? frame : incomplete();
  }
  const size_t header_size = WordAt(bytes, kWord);
  // Judged by the smaller count, so that the largest 2.x frame is not refused before its end is
  // seen.
  if (size >= kOverhead2x && header_size <= size - kOverhead2x) {
    TELEM_CHECK(CheckSizes(size - kOverhead2x, header_size));
  } else {
    TELEM_CHECK(CheckSizes(size, header_size));
  }
  const size_t whole = 2 * kWord + size + 1;
  if (bytes.size() >= whole) {
    TELEM_CHECK(CheckSizes(size, header_size));
    return Cut(bytes, kWord, header_size, size);
  }
  // 2.x without a path looks like 1.x until its peer closes nine bytes short.
  if (closed && size >= kOverhead2x && bytes.size() == size && header_size <= size - kOverhead2x &&
      bytes.back() == '\0') {
    return Cut(bytes, kWord, header_size, size - kOverhead2x);
  }
  return incomplete();
}

}  // namespace telem
