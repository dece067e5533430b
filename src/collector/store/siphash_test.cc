#include "collector/store/siphash.h"

#include <gtest/gtest.h>

#include <string>

namespace telem {
namespace {

SipKey CountingKey() {
  SipKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<unsigned char>(i);
  return key;
}

std::string CountingBytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// The example of the paper's appendix A, and the first test vector of the reference.
TEST(SipHashTest, GivesThePublishedValues) {
  SipHash fifteen(CountingKey());
  fifteen.Add(CountingBytes(15));
  EXPECT_EQ(fifteen.Finish(), 0xa129ca6149be45e5u);
  SipHash empty(CountingKey());
  EXPECT_EQ(empty.Finish(), 0x726fdb47dd0e0e31u);
}

TEST(SipHashTest, DoesNotDependOnHowTheBytesAreCut) {
  const std::string bytes = CountingBytes(67);
  SipHash whole(CountingKey());
  whole.Add(bytes);
  const uint64_t expected = whole.Finish();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    SipHash parts(CountingKey());
    parts.Add(std::string_view(bytes).substr(0, cut));
    parts.Add(std::string_view(bytes).substr(cut));
    EXPECT_EQ(parts.Finish(), expected) << cut;
  }
}

}  // namespace
}  // namespace telem
