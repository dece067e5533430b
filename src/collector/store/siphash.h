// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): a 64-bit hash under a
// secret key. Strangers choose what is hashed; without the key they cannot choose what collides.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace telem {

using SipKey = std::array<unsigned char, 16>;

class SipHash {
 public:
  explicit SipHash(const SipKey& key);

  // The bytes hashed are those of all calls, one after another.
  void Add(std::string_view bytes);

  // The last call.
  uint64_t Finish();

 private:
  void Round();
  void Mix(uint64_t word);

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t pending_ = 0;  // the bytes of a word that is not full yet, the first one lowest
  uint64_t size_ = 0;
};

}  // namespace telem
