// The bytes of one connection from a probe: whatever their pieces, the frames are the same.
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "record/frame_codec.h"

namespace telem {
namespace {

struct CopiedFrame {
  std::string headers;
  std::string payload;
  bool had_config_path = false;

  bool operator==(const CopiedFrame&) const = default;
};

// What a connection brought in all.
struct Outcome {
  std::vector<CopiedFrame> frames;
  std::optional<ErrorCode> error;

  bool operator==(const Outcome&) const = default;
};

// Takes frames as long as there are whole ones; false when the connection is over.
bool TakeWhole(std::string_view& bytes, bool closed, Outcome& outcome) {
  while (true) {
    const size_t before = bytes.size();
    const auto frame = TakeFrame(bytes, closed);
    if (!frame) {
      outcome.error = frame.error().code;
      return false;
    }
    if (!*frame) {
      Require(bytes.size() == before, "nothing is taken unless a whole frame is");
      return true;
    }
    Require(bytes.size() < before, "a frame that is taken is off the bytes");
    Require((*frame)->headers.size() <= kMaxHeaders, "headers are within their limit");
    Require((*frame)->payload.size() <= kMaxPayload, "the payload is within its limit");
    outcome.frames.push_back({std::string((*frame)->headers), std::string((*frame)->payload),
                              (*frame)->had_config_path});
  }
}

// Feeds `bytes` in pieces of the sizes that `next_size` says, as a reader of a socket would.
template <typename NextSize>
Outcome Feed(std::string_view bytes, NextSize next_size) {
  Outcome outcome;
  std::string arrived;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, next_size());
    bytes.remove_prefix(piece.size());
    arrived += piece;
    // A copy of the exact size, so that AddressSanitizer sees a read past its end.
    const std::vector<char> exact(arrived.begin(), arrived.end());
    std::string_view rest(exact.data(), exact.size());
    if (!TakeWhole(rest, false, outcome)) return outcome;
    arrived = std::string(rest);
  }
  std::string_view rest = arrived;
  TakeWhole(rest, true, outcome);
  return outcome;
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  const std::string_view bytes = AsText(data, size);
  const Outcome whole = Feed(bytes, [&] { return size; });

  std::string_view at_once = bytes;
  Outcome closed_at_once;
  TakeWhole(at_once, true, closed_at_once);
  Require(closed_at_once == whole, "a close that is seen with the bytes changes nothing");

  // From the input itself, so that a finding repeats.
  std::minstd_rand random(static_cast<uint32_t>(size) * 31 + (size > 0 ? data[size / 2] : 0));
  const Outcome cut = Feed(bytes, [&] { return 1 + random() % (1 + size / 3); });
  Require(cut == whole, "any cut gives the same frames");
  if (size <= 512) {
    const Outcome single = Feed(bytes, [] { return 1; });
    Require(single == whole, "single bytes give the same frames");
  }

  for (const CopiedFrame& frame : whole.frames) {
    const std::string encoded = EncodeFrame(frame.headers, frame.payload);
    std::string_view rest = encoded;
    const auto again = TakeFrame(rest, false);
    Require(again && *again && rest.empty() && (*again)->headers == frame.headers &&
                (*again)->payload == frame.payload,
            "a frame that is encoded again is the same");
  }
  return 0;
}
