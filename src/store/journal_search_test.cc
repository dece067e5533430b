#include "store/journal_search.h"

#include <gtest/gtest.h>

#include "store/store_test_folder.h"

namespace telem {
namespace {

constexpr const char* kBoot = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";
const std::string kEvent(32, 'e');
const std::string kOtherEvent(32, 'd');

std::string Line(char record, const std::string& event, RecordState state,
                 std::string_view detail = "") {
  const std::string id(32, record);
  std::string text;
  AppendJournalLine(text, {.record_id = id,
                           .time = 1'795'445'599,
                           .classification = "org.example/test/one",
                           .event_id = event,
                           .boot_id = kBoot,
                           .state = state,
                           .detail = detail});
  return text;
}

std::optional<JournalSearch::Found> Search(const std::string& text) {
  const TestFolder folder;
  folder.Write("journal", text);
  auto search = JournalSearch::Open(folder / "journal", kEvent);
  EXPECT_TRUE(search);
  Result<bool> more = true;
  while (more && *more) more = search->ReadSome();
  EXPECT_TRUE(more);
  return search->found();
}

TEST(JournalSearchTest, FindsTheNewestOfARecordWhereverItLies) {
  std::string text;
  // More than one piece of what is read at once, in front, between and behind.
  for (int i = 0; i < 500; ++i) text += Line('a', kOtherEvent, RecordState::kSpooled);
  text += Line('b', kEvent, RecordState::kSpooled);
  for (int i = 0; i < 500; ++i) text += Line('a', kOtherEvent, RecordState::kDelivered);
  const auto waits = Search(text);
  ASSERT_TRUE(waits);
  EXPECT_EQ(waits->state, RecordState::kSpooled);
  text += Line('b', kEvent, RecordState::kRejected, "413 too large");
  for (int i = 0; i < 500; ++i) text += Line('c', kOtherEvent, RecordState::kSpooled);
  const auto rejected = Search(text);
  ASSERT_TRUE(rejected);
  EXPECT_EQ(rejected->record_id, std::string(32, 'b'));
  EXPECT_EQ(rejected->time, 1'795'445'599u);
  EXPECT_EQ(rejected->state, RecordState::kRejected);
  EXPECT_EQ(rejected->detail, "413 too large");
}

// Of a record whose file could not be read any more, a later line does not say what it was.
TEST(JournalSearchTest, FollowsARecordByItsId) {
  const auto found = Search(Line('b', kEvent, RecordState::kSpooled) +
                            Line('b', "", RecordState::kEvicted, "gone"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, RecordState::kEvicted);
}

TEST(JournalSearchTest, PassesOverWhatIsNoLine) {
  const std::string torn = Line('b', kEvent, RecordState::kSpooled);
  EXPECT_FALSE(Search(""));
  EXPECT_FALSE(Search("\n\x1e\n" + std::string(200'000, 'e') + "\n"));
  EXPECT_FALSE(Search(torn.substr(0, torn.size() - 1)));
  EXPECT_TRUE(Search(std::string(200'000, 'e') + "\n" + torn));
}

TEST(JournalSearchTest, FailsWithoutAJournal) {
  const TestFolder folder;
  const auto search = JournalSearch::Open(folder / "journal", kEvent);
  ASSERT_FALSE(search);
  EXPECT_EQ(search.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace telem
