#include "record/record_id.h"

#include "base/random.h"
#include "base/text.h"

namespace telem {

std::string RecordId::ToHex() const {
  std::string hex;
  hex.reserve(kHexIdSize);
  AppendHex(hex, bytes.data(), bytes.size());
  return hex;
}

WallTime RecordId::Time() const {
  uint64_t ms = 0;
  for (size_t i = 0; i < 6; ++i) ms = ms << 8 | bytes[i];
  return WallTime(std::chrono::milliseconds(static_cast<int64_t>(ms)));
}

RecordId MakeRecordId(WallTime now) {
  RecordId id;
  const auto ms = static_cast<uint64_t>(now.time_since_epoch().count());
  for (size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<unsigned char>(ms >> (40 - 8 * i));
  // Random bytes are fetched for many ids at once: a system call each would be a tenth of the work.
  static thread_local std::array<unsigned char, 640> pool;
  static thread_local size_t used = pool.size();
  if (used + 10 > pool.size()) {
    FillRandom(pool.data(), pool.size());
    used = 0;
  }
  for (size_t i = 6; i < id.bytes.size(); ++i) id.bytes[i] = pool[used++];
  return id;
}

RecordId RecordIdSource::Next(WallTime now) {
  RecordId id = MakeRecordId(now);
  if (id <= last_ && last_.Time() - now <= kMostAhead) {
    // The last one, plus a random step of 32 bits: nobody learns from an id how many came between.
    unsigned carry = 1;
    for (size_t i = id.bytes.size(); i-- > 0;) {
      const unsigned step = i >= 12 ? id.bytes[i] : 0;
      const unsigned sum = last_.bytes[i] + step + carry;
      id.bytes[i] = static_cast<unsigned char>(sum);
      carry = sum >> 8;
    }
  }
  last_ = id;
  return id;
}

std::optional<RecordId> ParseRecordId(std::string_view hex) {
  if (!IsLowerHex(hex, kHexIdSize)) return std::nullopt;
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  RecordId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    id.bytes[i] = static_cast<unsigned char>(value(hex[2 * i]) << 4 | value(hex[2 * i + 1]));
  }
  return id;
}

}  // namespace telem
