#include "record/signature.h"

#include <gtest/gtest.h>

#include <vector>

namespace telem {
namespace {

TEST(SignatureTest, IsTheHashThatTheDocumentationSays) {
  // Worked example of docs/signatures.md.
  const std::vector<std::string> parts = {"example!parse_header", "example!load"};
  EXPECT_EQ(SignatureOf("s1", parts), "s1:25dc1ca99473e57e");
}

TEST(SignatureTest, KnowsWhereAPartEnds) {
  const std::vector<std::string> one = {"ab", "c"};
  const std::vector<std::string> other = {"a", "bc"};
  EXPECT_NE(SignatureOf("s1", one), SignatureOf("s1", other));
  EXPECT_NE(SignatureOf("s1", one), SignatureOf("e1", one));
}

}  // namespace
}  // namespace telem
