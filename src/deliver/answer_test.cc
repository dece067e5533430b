#include "deliver/answer.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(AnswerTest, EachStatusHasItsOutcome) {
  for (const uint32_t status : {200, 201}) EXPECT_EQ(OutcomeOf(status), Outcome::kAccepted);
  for (const uint32_t status : {400, 405, 406, 409, 411, 413, 414, 415, 422, 431}) {
    EXPECT_EQ(OutcomeOf(status), Outcome::kRefused) << status;
  }
  for (const uint32_t status : {0, 100, 202, 204, 301, 302, 401, 403, 404, 407, 408, 410, 425, 429,
                                500, 502, 503, 504, 599}) {
    EXPECT_EQ(OutcomeOf(status), Outcome::kLater) << status;
  }
}

TEST(AnswerTest, FindsTheWordsInJsonAndInText) {
  EXPECT_EQ(WordsOf(R"({"message": "severity is not 1..4"})"), "severity is not 1..4");
  EXPECT_EQ(WordsOf("No such page\r\nmore"), "No such page");
  EXPECT_EQ(WordsOf(R"({"error": 1})"), R"({"error": 1})");
  EXPECT_EQ(WordsOf(""), "");
  EXPECT_EQ(WordsOf(std::string(1000, 'x')).size(), kMaxVerdictText);
}

}  // namespace
}  // namespace telem
