#include "store/waiting_list.h"

#include <gtest/gtest.h>
#include <malloc.h>

namespace telem {
namespace {

using std::chrono::seconds;

constexpr uid_t kRoot = 0, kNobody = 65534, kUser = 1000;
constexpr MonotonicTime kNow{std::chrono::hours(1)};

class WaitingListTest : public testing::Test {
 protected:
  WaitingRecord Add(uid_t uid, int32_t since, unsigned severity = 1, uint32_t size = 100) {
    WaitingRecord record{
        .name = {MakeRecordId(WallTime(std::chrono::milliseconds(++ids_))), uid, 0},
        .since = since};
    record.SetSize(size);
    record.SetSeverity(severity);
    list_.Count(record);
    list_.Add(record);
    return record;
  }
  std::optional<uid_t> TakeUid(MonotonicTime now = kNow) {
    const auto record = list_.TakeOldest(now, false);
    return record ? std::optional(record->name.uid) : std::nullopt;
  }

  int64_t ids_ = 0;
  WaitingList list_{kRoot, kUser};
};

TEST_F(WaitingListTest, GivesTheOldestWhosesoeverItIsAndInWhateverOrderTheyCame) {
  for (const int since : {5, 3, 9, 1, 7, 2, 8, 4, 6})
    Add(since % 2 ? kNobody : kRoot, since, 1 + since % 4);
  for (int since = 1; since < 10; ++since) {
    EXPECT_EQ(list_.Oldest()->since, since);
    EXPECT_EQ(list_.TakeOldest(kNow, false)->since, since);
  }
  EXPECT_EQ(list_.Oldest(), nullptr);
  EXPECT_FALSE(list_.TakeOldest(kNow, false));
}

TEST_F(WaitingListTest, WithinASecondTheIdsSayWhichIsOlder) {
  for (int i = 0; i < 100; ++i) Add(kRoot, 7);
  RecordId last{};
  while (const auto record = list_.TakeOldest(kNow, false)) {
    EXPECT_LT(last, record->id());
    last = record->id();
  }
}

TEST_F(WaitingListTest, WhoIsHeldBackHoldsUpNobodyElse) {
  const WaitingRecord nobodys = Add(kNobody, 1);
  Add(kRoot, 2);
  list_.HoldBack(nobodys, kNow + seconds(10));
  EXPECT_EQ(list_.NextRelease(kNow), kNow + seconds(10));
  EXPECT_EQ(TakeUid(), kRoot);
  EXPECT_EQ(TakeUid(kNow + seconds(9)), std::nullopt);
  EXPECT_FALSE(list_.HasReady(kNow + seconds(9), false));
  EXPECT_EQ(list_.Oldest()->name.uid, kNobody);  // it still gets older
  EXPECT_TRUE(list_.HasReady(kNow + seconds(10), false));
  EXPECT_EQ(list_.NextRelease(kNow + seconds(10)), std::nullopt);
  list_.Release(nobodys);
  EXPECT_EQ(TakeUid(), kNobody);
}

TEST_F(WaitingListTest, CountsWhatEachHoldsUntilItHasItsLastState) {
  const WaitingRecord one = Add(kNobody, 1, 1, 4096);
  Add(kNobody, 2, 1, 4097);
  Add(kRoot, 3, 1, 1);
  const size_t nobody = list_.HolderOf(kNobody);
  EXPECT_EQ(list_.held(nobody).records, 2u);
  EXPECT_EQ(list_.held(nobody).blocks, 3u);
  EXPECT_EQ(list_.held(nobody).bytes, 4095u + 4096u);
  EXPECT_EQ(list_.held().blocks, 4u);
  ASSERT_TRUE(list_.TakeOldest(kNow, false));  // under way: it is held, and does not wait
  EXPECT_EQ(list_.held(nobody).blocks, 3u);
  EXPECT_EQ(list_.waiting_blocks(nobody), 2u);
  list_.Uncount(one);
  EXPECT_EQ(list_.held(nobody).blocks, 2u);
  EXPECT_EQ(list_.size(), 2u);
}

TEST_F(WaitingListTest, GivesUpTheLowestSeverityFirstAndThereTheOldest) {
  Add(kNobody, 1, 4);
  Add(kNobody, 2, 2);
  Add(kNobody, 3, 1);
  Add(kNobody, 4, 2);
  Add(kNobody, 5, 1);
  const size_t nobody = list_.HolderOf(kNobody);
  for (const int since : {3, 5, 2, 4, 1}) EXPECT_EQ(list_.TakeLeast(nobody)->since, since);
  EXPECT_FALSE(list_.TakeLeast(nobody));
}

TEST_F(WaitingListTest, WhoHoldsMostIsFoundAndInDoubtItIsNotRoot) {
  EXPECT_FALSE(list_.FindLargest());
  Add(kRoot, 1);
  EXPECT_EQ(list_.FindLargest(), list_.HolderOf(kRoot));
  Add(kNobody, 2);
  EXPECT_EQ(list_.FindLargest(), list_.HolderOf(kNobody));
  Add(kRoot, 3);
  EXPECT_EQ(list_.FindLargest(), list_.HolderOf(kRoot));
}

// Somebody with a range of uids of his own (subuid(5)) is no thousand users.
TEST_F(WaitingListTest, AMillionUidsCostNoMoreThanAFew) {
  const auto used = [] { return ::mallinfo2().uordblks; };
  const size_t before = used();
  constexpr uid_t kUids = 1'000'000;
  for (uid_t i = 0; i < kUids; ++i) Add(100'000 + i, 1);
  Add(kRoot, 2);
  EXPECT_LT((used() - before) / kUids, 48u);
  EXPECT_EQ(list_.held(list_.HolderOf(kRoot)).records, 1u);
  EXPECT_EQ(list_.held(0).records, kUids - (WaitingList::kMaxHolders - 3));
  list_.HoldBack(*list_.Oldest(), kNow + seconds(1));
  while (const auto record = list_.TakeOldest(std::nullopt, false)) list_.Uncount(*record);
  EXPECT_EQ(list_.held().records, 0u);
  EXPECT_LT(used() - before, 64u * 1024);
  // The places of those that have gone are free again.
  Add(77, 3);
  EXPECT_NE(list_.HolderOf(77), 0u);
}

TEST_F(WaitingListTest, MemoryIsBelow48BytesARecordHowManyThereAre) {
  for (const size_t count : {1'000u, 10'000u, 100'000u}) {
    WaitingList list{kRoot};
    const size_t before = ::mallinfo2().uordblks;
    for (size_t i = 0; i < count; ++i) {
      WaitingRecord record{.name = {MakeRecordId(WallTime{}), kRoot, 0}};
      record.size = 1;
      record.severity = 1;
      list.Count(record);
      list.Add(record);
    }
    EXPECT_LT(::mallinfo2().uordblks - before, 48u * count) << count;
  }
}

}  // namespace
}  // namespace telem
