#include "store/journal_ids.h"

#include <gtest/gtest.h>

#include "store/journal_line.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

RecordId IdOf(int number) {
  RecordId id;
  id.bytes[0] = static_cast<unsigned char>(number >> 8);
  id.bytes[15] = static_cast<unsigned char>(number);
  return id;
}

void AppendLine(std::string& text, const RecordId& id, RecordState state) {
  const std::string hex = id.ToHex();
  AppendJournalLine(text, {.record_id = hex,
                           .classification = "org.example/test/one",
                           .boot_id = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25",
                           .state = state});
}

TEST(JournalIdsTest, AreThoseOfEachRecordOnceInOrder) {
  const TestFolder folder;
  std::string text;
  std::vector<RecordId> expected;
  // More than one piece of what is read at once, and no line ends where a piece does.
  for (int i = 999; i >= 0; --i) {
    AppendLine(text, IdOf(i), RecordState::kSpooled);
    if (i % 3 == 0) AppendLine(text, IdOf(i), RecordState::kDelivered);
    expected.insert(expected.begin(), IdOf(i));
  }
  folder.Write("journal", text);
  const auto ids = ReadJournalIds(folder / "journal");
  ASSERT_TRUE(ids);
  EXPECT_EQ(*ids, expected);
}

TEST(JournalIdsTest, PassOverLinesThatAreNoneOfOurs) {
  const TestFolder folder;
  std::string text = "\n\x1e\nnonsense\n" + std::string(100'000, 'a') + "\n";
  AppendLine(text, IdOf(7), RecordState::kSpooled);
  text += IdOf(8).ToHex();  // torn
  folder.Write("journal", text);
  const auto ids = ReadJournalIds(folder / "journal");
  ASSERT_TRUE(ids);
  EXPECT_EQ(*ids, std::vector<RecordId>{IdOf(7)});
}

TEST(JournalIdsTest, AreNoneWhereThereIsNoJournal) {
  const TestFolder folder;
  const auto ids = ReadJournalIds(folder / "journal");
  ASSERT_TRUE(ids);
  EXPECT_TRUE(ids->empty());
}

}  // namespace
}  // namespace telem
