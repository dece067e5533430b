// What telem-deliver reads: a line of settings, then records, in any pieces.
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/text.h"
#include "fuzz_target.h"
#include "record/delivery_codec.h"
#include "record/headers.h"

namespace telem {
namespace {

struct Taken {
  std::vector<std::string> records;
  std::optional<ErrorCode> error;
  std::string rest;

  bool operator==(const Taken&) const = default;
};

template <typename NextSize>
Taken Feed(std::string_view bytes, NextSize next_size) {
  Taken taken;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, next_size());
    bytes.remove_prefix(piece.size());
    taken.rest += piece;
    // A copy of the exact size, so that AddressSanitizer sees a read past its end.
    const std::vector<char> exact(taken.rest.begin(), taken.rest.end());
    std::string_view rest(exact.data(), exact.size());
    while (true) {
      const size_t before = rest.size();
      const auto record = TakeDeliveryRecord(rest);
      if (!record) {
        taken.error = record.error().code;
        taken.rest.clear();
        return taken;
      }
      if (!*record) break;
      Require((*record)->headers.size() <= kMaxHeaders, "headers are within their limit");
      Require((*record)->payload.size() <= kMaxPayload, "the payload is within its limit");
      const auto head =
          EncodeDeliveryHead((*record)->id, (*record)->headers.size(), (*record)->payload.size());
      std::string whole(head.data(), head.size());
      whole += (*record)->headers;
      whole += (*record)->payload;
      Require(whole.size() == before - rest.size() &&
                  std::string_view(exact.data() + exact.size() - before, whole.size()) == whole,
              "a record that is encoded again is the same");
      taken.records.push_back(std::move(whole));
    }
    taken.rest = std::string(rest);
  }
  return taken;
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  std::string_view bytes = AsText(data, size);
  const std::string_view line = TakeUntil(bytes, '\n');
  if (const auto settings = ParseDeliverySettings(line); settings && IsUtf8(line)) {
    const std::string written = EncodeDeliverySettings(*settings);
    Require(written.find('\n') == written.size() - 1, "settings are one line");
    const auto again = ParseDeliverySettings(written);
    // Escapes make text longer, and there is a limit to it.
    Require(again ? *again == *settings : again.error().code == ErrorCode::kTooLarge,
            "settings that are written again are the same");
  }

  const auto whole = Feed(bytes, [&] { return size; });
  // From the input itself, so that a finding repeats.
  std::minstd_rand random(static_cast<uint32_t>(size) * 31 + (size > 0 ? data[size / 2] : 0));
  Require(Feed(bytes, [&] { return 1 + random() % (1 + size / 3); }) == whole,
          "any cut gives the same records");
  if (size <= 512) {
    Require(Feed(bytes, [] { return 1; }) == whole, "single bytes give the same records");
  }
  return 0;
}
