#include "store/retention.h"

#include <gtest/gtest.h>

#include "store/store_test_folder.h"

namespace telem {
namespace {

RecordId IdAt(int64_t ms) { return MakeRecordId(WallTime(std::chrono::milliseconds(ms))); }

TEST(RetentionTest, KeepsThePayloadAndOneNewline) {
  const TestFolder folder;
  Retention retention(folder / "records", 10);
  const RecordId id = IdAt(1000);
  ASSERT_TRUE(retention.Keep(id, std::string_view("a\0b", 3)));
  EXPECT_EQ(folder.Read("records/" + id.ToHex()), std::string_view("a\0b\n", 4));
}

TEST(RetentionTest, RemovesTheOldestAlsoThoseOfAFormerDaemon) {
  const TestFolder folder;
  std::vector<RecordId> ids;
  for (int64_t ms = 1; ms <= 6; ++ms) ids.push_back(IdAt(ms * 1000));
  {
    Retention former(folder / "records", 10);
    for (size_t i = 0; i < 4; ++i) ASSERT_TRUE(former.Keep(ids[i], "x"));
  }
  folder.Write("records/a-file-of-somebody-else", "stays");
  Retention retention(folder / "records", 3);
  for (size_t i = 4; i < 6; ++i) ASSERT_TRUE(retention.Keep(ids[i], "x"));
  EXPECT_EQ(folder.CountFiles("records"), 4u);
  for (size_t i = 3; i < 6; ++i) {
    EXPECT_TRUE(std::filesystem::exists(folder / ("records/" + ids[i].ToHex())));
  }
}

// Payloads from when the clock stood at 2100 would have outlived all that were made later.
TEST(RetentionTest, RemovesFirstWhatWasMadeWhileTheClockWasAhead) {
  const TestFolder folder;
  const RecordId ahead = IdAt(4'102'444'800'000);
  const RecordId old = IdAt(1'795'445'503'000);
  {
    Retention former(folder / "records", 10);
    for (const RecordId& id : {ahead, old}) ASSERT_TRUE(former.Keep(id, "x"));
  }
  Retention retention(folder / "records", 2);
  const RecordId fresh = IdAt(1'795'445'504'000);
  ASSERT_TRUE(retention.Keep(fresh, "x"));
  EXPECT_FALSE(std::filesystem::exists(folder / ("records/" + ahead.ToHex())));
  EXPECT_TRUE(std::filesystem::exists(folder / ("records/" + old.ToHex())));
  EXPECT_TRUE(std::filesystem::exists(folder / ("records/" + fresh.ToHex())));
}

TEST(RetentionTest, RemovesOneThatIsNotToBeKeptAndMakesRoom) {
  const TestFolder folder;
  Retention retention(folder / "records", 2);
  const RecordId first = IdAt(1000);
  const RecordId second = IdAt(2000);
  for (const RecordId& id : {first, second}) ASSERT_TRUE(retention.Keep(id, "x"));
  retention.Remove(second);
  retention.Remove(IdAt(3000));  // which never was there
  ASSERT_TRUE(retention.Keep(IdAt(4000), "x"));
  EXPECT_TRUE(std::filesystem::exists(folder / ("records/" + first.ToHex())));
  EXPECT_FALSE(std::filesystem::exists(folder / ("records/" + second.ToHex())));
  EXPECT_EQ(folder.CountFiles("records"), 2u);
}

TEST(RetentionTest, WritesNothingWhenNothingIsToBeKept) {
  const TestFolder folder;
  Retention retention(folder / "records", 0);
  ASSERT_TRUE(retention.Keep(IdAt(1000), "x"));
  EXPECT_FALSE(std::filesystem::exists(folder / "records"));
}

}  // namespace
}  // namespace telem
