#include "record/record_id.h"

#include <gtest/gtest.h>

#include <set>

namespace telem {
namespace {

using std::chrono::milliseconds;

TEST(RecordIdTest, CarriesItsTimeAndReadsBack) {
  const WallTime now{milliseconds(1'795'445'503'123)};
  const RecordId id = MakeRecordId(now);
  EXPECT_EQ(id.Time(), now);
  EXPECT_EQ(id.ToHex().size(), kHexIdSize);
  EXPECT_EQ(ParseRecordId(id.ToHex()), id);
}

TEST(RecordIdTest, SortsByTime) {
  const RecordId early = MakeRecordId(WallTime{milliseconds(1000)});
  const RecordId late = MakeRecordId(WallTime{milliseconds(1001)});
  EXPECT_LT(early, late);
  EXPECT_LT(early.ToHex(), late.ToHex());
}

TEST(RecordIdTest, NeverRepeats) {
  std::set<RecordId> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(MakeRecordId(WallTime{}));
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(RecordIdSourceTest, EachSortsBehindTheOneBeforeThoughTheClockIsSetBackALittle) {
  RecordIdSource source;
  WallTime now{milliseconds(1'795'445'503'123)};
  RecordId last = source.Next(now);
  for (int i = 0; i < 1000; ++i) {
    if (i == 500) now -= RecordIdSource::kMostAhead;
    const RecordId next = source.Next(now);
    EXPECT_LT(last, next);
    last = next;
  }
  EXPECT_LT(last.Time(), now + RecordIdSource::kMostAhead + milliseconds(10));
}

TEST(RecordIdSourceTest, FollowsAClockThatWasWrong) {
  RecordIdSource source;
  const WallTime in_2100{std::chrono::sys_days{std::chrono::year(2100) / 1 / 1}};
  const WallTime now{milliseconds(1'795'445'503'123)};
  std::set<RecordId> ids;
  for (const WallTime time : {WallTime{}, in_2100, now, WallTime{}, now}) {
    for (int i = 0; i < 3; ++i) {
      const RecordId id = source.Next(time);
      EXPECT_EQ(id.Time(), time);
      EXPECT_TRUE(ids.insert(id).second);
    }
  }
}

TEST(RecordIdTest, RefusesWhatIsNoId) {
  for (const char* bad :
       {"", "0123456789abcdef0123456789abcde", "0123456789ABCDEF0123456789abcdef",
        "0123456789abcdef0123456789abcdef0", "g123456789abcdef0123456789abcdef"}) {
    EXPECT_FALSE(ParseRecordId(bad)) << bad;
  }
}

}  // namespace
}  // namespace telem
