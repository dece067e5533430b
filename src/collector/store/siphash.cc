#include "collector/store/siphash.h"

#include <bit>
#include <cstring>

namespace telem {
namespace {

uint64_t LoadLittleEndian(const void* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

}  // namespace

SipHash::SipHash(const SipKey& key) {
  const uint64_t k0 = LoadLittleEndian(key.data());
  const uint64_t k1 = LoadLittleEndian(key.data() + 8);
  v0_ = k0 ^ 0x736f6d6570736575;
  v1_ = k1 ^ 0x646f72616e646f6d;
  v2_ = k0 ^ 0x6c7967656e657261;
  v3_ = k1 ^ 0x7465646279746573;
}

void SipHash::Round() {
  v0_ += v1_;
  v1_ = std::rotl(v1_, 13) ^ v0_;
  v0_ = std::rotl(v0_, 32);
  v2_ += v3_;
  v3_ = std::rotl(v3_, 16) ^ v2_;
  v0_ += v3_;
  v3_ = std::rotl(v3_, 21) ^ v0_;
  v2_ += v1_;
  v1_ = std::rotl(v1_, 17) ^ v2_;
  v2_ = std::rotl(v2_, 32);
}

void SipHash::Mix(uint64_t word) {
  v3_ ^= word;
  Round();
  Round();
  v0_ ^= word;
}

void SipHash::Add(std::string_view bytes) {
  const auto add_byte = [this](char byte) {
    pending_ |= static_cast<uint64_t>(static_cast<unsigned char>(byte)) << (8 * (size_ % 8));
    if (++size_ % 8 != 0) return;
    Mix(pending_);
    pending_ = 0;
  };
  while (!bytes.empty() && size_ % 8 != 0) {
    add_byte(bytes.front());
    bytes.remove_prefix(1);
  }
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    Mix(LoadLittleEndian(bytes.data()));
    size_ += 8;
  }
  for (const char byte : bytes) add_byte(byte);
}

uint64_t SipHash::Finish() {
  Mix(pending_ | size_ << 56);
  v2_ ^= 0xff;
  for (int i = 0; i < 4; ++i) Round();
  return v0_ ^ v1_ ^ v2_ ^ v3_;
}

}  // namespace telem
