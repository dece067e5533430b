#include "daemon/finisher.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "daemon/delivery_fixture.h"

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FinisherTest : public DeliveryFixture {
 protected:
  std::string FileOf(const WaitingRecord& record) const {
    return folder_ + "/spool/" + record.name.ToText();
  }
  void PassTime(seconds time) {
    clock_.Advance(time);
    ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  }
};

TEST_F(FinisherTest, GivesUpAFileOnlyWhenItIsTold) {
  const WaitingRecord record = Put();
  finisher_->Finish(record, RecordState::kExpired, "");
  EXPECT_TRUE(journal_->HasPending());
  EXPECT_TRUE(std::filesystem::exists(FileOf(record)));
  EXPECT_EQ(finisher_->not_counted(), 1u);
  EXPECT_EQ(counters_.expired, 0u);
  finisher_->RemoveFinished();
  EXPECT_FALSE(std::filesystem::exists(FileOf(record)));
  EXPECT_EQ(finisher_->not_counted(), 0u);
  EXPECT_EQ(counters_.expired, 1u);
}

TEST_F(FinisherTest, AFileThatCannotGoTakesUpRoomAndIsTriedAgain) {
  const std::string in_the_way = folder_ + "/rejected";
  for (const bool is_asked : {false, true}) {
    ASSERT_TRUE(ReplaceFile(in_the_way, "no folder", 0600));
    const WaitingRecord record = Put();
    counters_ = {};
    finisher_->Finish(record, RecordState::kRejected, "why");
    finisher_->RemoveFinished();
    EXPECT_EQ(counters_.rejected, 1u);
    EXPECT_TRUE(finisher_->IsFinished(record.id()));
    EXPECT_GT(spool_->bytes(), 0u);
    PassTime(seconds(10));
    EXPECT_GT(spool_->bytes(), 0u) << "it is still there";

    std::filesystem::remove(in_the_way);
    if (is_asked) {
      finisher_->RetryLeftover();
    } else {
      PassTime(seconds(9));
      EXPECT_GT(spool_->bytes(), 0u) << "nobody looked again yet";
      PassTime(seconds(1));
    }
    EXPECT_EQ(spool_->bytes(), 0u);
    EXPECT_FALSE(finisher_->IsFinished(record.id()));
    EXPECT_FALSE(std::filesystem::exists(FileOf(record)));
    EXPECT_TRUE(std::filesystem::exists(in_the_way + "/" + record.name.ToText()));
    EXPECT_EQ(counters_.rejected, 1u) << "it counts once";
    std::filesystem::remove_all(in_the_way);
  }
}

}  // namespace
}  // namespace telem
