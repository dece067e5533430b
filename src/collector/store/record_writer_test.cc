#include "collector/store/record_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>

namespace telem {
namespace {

// Tells the test when a commit begins, and does not end it before the test says so.
class GatedStore final : public RecordStore {
 public:
  Result<std::vector<Receipt>> Add(std::span<const IncomingRecord> records) override {
    begun_.release();
    go_on_.acquire();
    batches_.push_back(records.size());
    if (fails_) return Fail(ErrorCode::kNoSpace, "full");
    std::vector<Receipt> receipts(records.size());
    for (Receipt& receipt : receipts) receipt.id = ++last_id_;
    return receipts;
  }
  Result<RecordPage> Find(const RecordQuery&) override { return RecordPage(); }
  void StopFinding() override {}

  std::counting_semaphore<> begun_{0};
  std::counting_semaphore<> go_on_{0};
  std::atomic<bool> fails_ = false;
  std::vector<size_t> batches_;
  int64_t last_id_ = 0;
};

TEST(RecordWriterTest, CommitsTogetherWhatComesInDuringACommit) {
  GatedStore store;
  FakeClock clock;
  std::vector<int64_t> ids;
  RecordWriter writer(store, clock, 10);
  const auto done = [&](const IncomingRecord&, const Result<Receipt>& receipt) {
    ids.push_back(receipt ? receipt->id : -1);
  };
  ASSERT_TRUE(writer.Submit({}, done));
  store.begun_.acquire();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(writer.Submit({}, done));
  store.go_on_.release(2);
  writer.Stop();
  EXPECT_EQ(store.batches_, std::vector<size_t>({1, 5}));
  EXPECT_EQ(ids, std::vector<int64_t>({1, 2, 3, 4, 5, 6}));
}

TEST(RecordWriterTest, TakesNoMoreThanMayWait) {
  GatedStore store;
  FakeClock clock;
  RecordWriter writer(store, clock, 2);
  int answered = 0;
  const auto done = [&](const IncomingRecord&, const Result<Receipt>&) { ++answered; };
  ASSERT_TRUE(writer.Submit({}, done));
  store.begun_.acquire();  // that one is not waiting any more
  EXPECT_TRUE(writer.Submit({}, done));
  EXPECT_TRUE(writer.Submit({}, done));
  EXPECT_FALSE(writer.Submit({}, done));
  store.go_on_.release(2);
  writer.Stop();
  EXPECT_EQ(answered, 3);
  EXPECT_FALSE(writer.Submit({}, done));
}

TEST(RecordWriterTest, TellsEachRecordOfAFailureAndRecovers) {
  GatedStore store;
  FakeClock clock;
  store.fails_ = true;
  RecordWriter writer(store, clock, 10);
  std::counting_semaphore<> answered{0};
  std::atomic<int> stored = 0;
  const auto done = [&](const IncomingRecord&, const Result<Receipt>& receipt) {
    if (receipt) ++stored;
    answered.release();
  };
  store.go_on_.release(10);
  ASSERT_TRUE(writer.Submit({}, done));
  answered.acquire();
  EXPECT_EQ(stored, 0);
  ASSERT_TRUE(writer.LastFailure());
  EXPECT_EQ(writer.LastFailure()->code, ErrorCode::kNoSpace);
  store.fails_ = false;
  ASSERT_TRUE(writer.Submit({}, done));
  answered.acquire();
  EXPECT_EQ(stored, 1);
  EXPECT_FALSE(writer.LastFailure());
}

// A load balancer that asked once while the disk was full never sent a record again.
TEST(RecordWriterTest, ForgetsAFailureThatNoRecordHasConfirmedForAMinute) {
  GatedStore store;
  FakeClock clock;
  store.fails_ = true;
  RecordWriter writer(store, clock, 10);
  std::binary_semaphore answered{0};
  store.go_on_.release();
  ASSERT_TRUE(writer.Submit(
      {}, [&](const IncomingRecord&, const Result<Receipt>&) { answered.release(); }));
  answered.acquire();
  clock.Advance(std::chrono::seconds(59));
  EXPECT_TRUE(writer.RecentFailure());
  clock.Advance(std::chrono::seconds(1));
  EXPECT_FALSE(writer.RecentFailure());
  EXPECT_TRUE(writer.LastFailure());
}

}  // namespace
}  // namespace telem
