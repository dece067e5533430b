#include "deliver/answer.h"

#include <gtest/gtest.h>

#include <set>

namespace telem {
namespace {

TEST(AnswerTest, EachStatusHasItsOutcome) {
  const std::set<uint32_t> accepted = {200, 201};
  const std::set<uint32_t> refused = {400, 405, 406, 409, 411, 413, 414, 415, 422, 431};
  for (uint32_t status = 0; status < 1000; ++status) {
    Outcome outcome = Outcome::kLater;
    if (accepted.contains(status)) outcome = Outcome::kAccepted;
    if (refused.contains(status)) outcome = Outcome::kRefused;
    EXPECT_EQ(OutcomeOf(status, Protocol::kV2), outcome) << status;
    EXPECT_EQ(OutcomeOf(status, Protocol::kV3), outcome) << status;
    if (status / 100 == 2) outcome = Outcome::kAccepted;
    EXPECT_EQ(OutcomeOf(status, Protocol::kOtlp), outcome) << status;
  }
}

TEST(AnswerTest, FindsTheWordsInJsonAndInText) {
  EXPECT_EQ(WordsOf(R"({"message": "severity is not 1..4"})"), "severity is not 1..4");
  EXPECT_EQ(WordsOf(R"({"code": 3, "message": "no body", "details": [{"a": {}}]})"), "no body");
  EXPECT_EQ(WordsOf("No such page\r\nmore"), "No such page");
  EXPECT_EQ(WordsOf(R"({"error": 1})"), R"({"error": 1})");
  EXPECT_EQ(WordsOf(R"({"message": 1})"), R"({"message": 1})");
  EXPECT_EQ(WordsOf(""), "");
  EXPECT_EQ(WordsOf(std::string(1000, 'x')).size(), kMaxVerdictText);
  EXPECT_EQ(WordsOf("{\"message\": \"a\\n\\u001bb\xff\"}").find_first_of("\n\x1b\xff"),
            std::string::npos);
}

TEST(AnswerTest, TellsWhatAPartialSuccessSays) {
  EXPECT_EQ(
      PartialSuccessOf(R"({"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "old"}})"),
      "2 of the request rejected: old");
  EXPECT_EQ(PartialSuccessOf(R"({"partialSuccess": {"rejectedLogRecords": 1}})"),
            "1 of the request rejected");
  EXPECT_EQ(PartialSuccessOf(R"({"partialSuccess": {"errorMessage": "slow down"}})"), "slow down");
  for (const char* well :
       {"", "{}", "x", "[]", R"({"partialSuccess": null})", R"({"partialSuccess": {}})",
        R"({"partialSuccess": 3})", R"({"partialSuccess": {"rejectedLogRecords": "-1"}})",
        R"({"partialSuccess": {"rejectedLogRecords": {}}})"}) {
    EXPECT_EQ(PartialSuccessOf(well), "") << well;
  }
}

}  // namespace
}  // namespace telem
