#include "daemon/delivery.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "daemon/delivery_fixture.h"

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class DeliveryTest : public DeliveryFixture {
 protected:
  void SetUp() override {
    DeliveryFixture::SetUp();
    Scan();
    settings_.server = "http://server.example/";
    settings_.cainfo = folder_ + "/script";
    loop_.SetAfterRound([this] {
      (void)journal_->Flush();
      finisher_->RemoveFinished();
      delivery_->Pump();
      (void)journal_->Flush();
      finisher_->RemoveFinished();
      consent_.StartRound();
    });
    Script("");
  }

  void Script(const std::string& lines) {
    ASSERT_TRUE(ReplaceFile(folder_ + "/script", lines, 0600));
  }

  void Offer(std::string_view classification, uid_t uid = 0) {
    HeaderViews headers = SampleHeaders();
    headers[Header::kClassification] = classification;
    std::string text;
    AppendHeaders(text, headers);
    const WaitingRecord record = Put(text, uid);
    ++counters_.accepted;
    delivery_->Offer(record, text, "p");
  }

  // Goes round, without moving the clock, until `done` or for as long as a person would wait.
  bool RunUntil(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (!loop_.RunOnce(milliseconds(5))) return false;
    }
    return true;
  }
  bool RunUntilDelivered(uint64_t count) {
    return RunUntil([&] { return counters_.delivered == count; });
  }
  // Until what was handed over has its verdict.
  bool RunUntilIdle() {
    if (!loop_.RunOnce(milliseconds(0))) return false;
    return RunUntil([&] { return delivery_->under_way() == 0; });
  }

  size_t Waiting() const { return spool_->waiting() + delivery_->not_in_spool_list(); }
  size_t RejectedFiles() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(folder_ + "/rejected"), {}));
  }
};

TEST_F(DeliveryTest, DeliversWhatItIsOfferedAndGivesUpTheFiles) {
  for (int i = 0; i < 50; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(50));
  EXPECT_EQ(Waiting(), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/spool"));
}

TEST_F(DeliveryTest, RejectsWhatTheServerRefusesForGood) {
  Script("bad refused 413 0\n");
  Offer("org.example/bad/one");
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(1));
  ASSERT_TRUE(RunUntil([&] { return counters_.rejected == 1; }));
  EXPECT_EQ(RejectedFiles(), 1u);
  EXPECT_EQ(delivery_->last_error()->text, "413 as the script says");
}

// The first spooled record that the server did not like once blocked all the others for ever; and
// later one that a firewall did not like stopped them for spool_process_time each time.
class DeliveryOfOnePoisonedTest : public DeliveryTest, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Codes, DeliveryOfOnePoisonedTest, testing::Values(500, 403, 451));

TEST_P(DeliveryOfOnePoisonedTest, KeepsNobodyWaiting) {
  Script("poison later " + std::to_string(GetParam()) + " 0\n");
  for (int i = 0; i < 100; ++i) {
    Offer(i == 3 ? "org.example/poison/one" : "org.example/good/one");
  }
  ASSERT_TRUE(RunUntilDelivered(99));
  EXPECT_EQ(Waiting(), 1u);
  // However often it fails, a fresh one goes out at once.
  for (uint64_t i = 1; i <= 20; ++i) {
    clock_.Advance(seconds(settings_.spool_process_time));
    ASSERT_TRUE(RunUntilIdle());
    Offer("org.example/good/one");
    ASSERT_TRUE(RunUntilDelivered(99 + i)) << i;
  }
  Script("");
  clock_.Advance(seconds(settings_.spool_process_time));
  ASSERT_TRUE(RunUntilDelivered(120));
  EXPECT_EQ(Waiting(), 0u);
}

TEST_P(DeliveryOfOnePoisonedTest, KeepsNobodyWaitingWhereItIsTheFirst) {
  Script("poison later " + std::to_string(GetParam()) + " 0\n");
  Offer("org.example/poison/one");
  for (int i = 0; i < 20; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(20));
  EXPECT_EQ(Waiting(), 1u);
  EXPECT_FALSE(delivery_->is_failing());
}

TEST_F(DeliveryTest, EachNextAttemptComesWithinTheDoubledTime) {
  Script("org later 0 0\n");
  for (int i = 0; i < 20; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  seconds ceiling(1);
  for (int i = 0; i < 15; ++i) {
    const auto next = delivery_->next_attempt();
    ASSERT_TRUE(next);
    EXPECT_LE(*next - clock_.Monotonic(), ceiling) << "after failure " << i + 1;
    clock_.Advance(ceiling);
    ceiling = std::min(2 * ceiling, seconds(settings_.spool_process_time));
    ASSERT_TRUE(RunUntilIdle());
    // It did come, and did not only stand there as the next one.
    EXPECT_EQ(delivery_->last_error()->time, clock_.Now()) << "attempt " << i + 2;
  }
  EXPECT_EQ(Waiting(), 20u);
  Script("");
  clock_.Advance(ceiling);
  ASSERT_TRUE(RunUntilDelivered(20));
}

TEST_F(DeliveryTest, WaitsAsLongAsTheServerAsksFor) {
  Script("org later 503 3600\n");
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  Script("");
  clock_.Advance(seconds(3599));
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(counters_.delivered, 0u);
  clock_.Advance(seconds(1));
  ASSERT_TRUE(RunUntilDelivered(1));
}

TEST_F(DeliveryTest, AsksSeldomWhenTheOperatorHasToRepairSomething) {
  for (const int code : {401, 403, 404, 407, 301}) {
    Script("org later " + std::to_string(code) + " 0\n");
    Offer("org.example/good/one");
    ASSERT_TRUE(RunUntilIdle());
    EXPECT_EQ(*delivery_->next_attempt() - clock_.Monotonic(),
              seconds(settings_.spool_process_time));
    delivery_->TryNow();
  }
}

// Without a network at boot the log told of that, and never of the token that was wrong behind it.
TEST_F(DeliveryTest, TellsEachNewKindOfFailureOnce) {
  testing::internal::CaptureStderr();
  Offer("org.example/good/one");
  for (const int code : {0, 0, 401, 0, 401, 503}) {
    Script("org later " + std::to_string(code) + " 0\n");
    delivery_->TryNow();
    ASSERT_TRUE(RunUntilIdle());
  }
  const std::string log = testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (const char c : log) lines += c == '\n' ? 1 : 0;
  EXPECT_EQ(lines, 3u) << log;
  EXPECT_TRUE(log.contains("failed: as the script says")) << log;
  EXPECT_TRUE(log.contains("failed: 401 as the script says")) << log;
  EXPECT_TRUE(log.contains("failed: 503 as the script says")) << log;
  Script("");
  delivery_->TryNow();
  ASSERT_TRUE(RunUntilDelivered(1));
  // It works again, so that is news again.
  testing::internal::CaptureStderr();
  Script("org later 401 0\n");
  for (int i = 0; i < 3; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_TRUE(testing::internal::GetCapturedStderr().contains("failed: 401 as the script says"));
}

TEST_F(DeliveryTest, AsksSeldomOnceThreeRecordsInARowAreTheOperatorsProblem) {
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(1));
  Script("org later 401 0\n");
  for (int i = 0; i < 2; ++i) {
    Offer("org.example/good/one");
    ASSERT_TRUE(RunUntilIdle());
    EXPECT_FALSE(delivery_->is_failing());
  }
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_TRUE(delivery_->is_failing());
  EXPECT_EQ(*delivery_->next_attempt() - clock_.Monotonic(), seconds(settings_.spool_process_time));
}

TEST_F(DeliveryTest, TriesAtOnceWhenItIsToldTo) {
  Script("org later 0 0\n");
  Offer("org.example/good/one");
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(RunUntilIdle());
    clock_.Advance(seconds(settings_.spool_process_time));
  }
  ASSERT_TRUE(RunUntilIdle());
  Script("");
  delivery_->TryNow();
  ASSERT_TRUE(RunUntilDelivered(1));
}

TEST_F(DeliveryTest, LosesNothingWhenTheProcessDies) {
  Script("org die 0 0\n");
  for (int i = 0; i < 10; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntil([&] { return delivery_->last_error().has_value(); }));
  EXPECT_EQ(Waiting(), 10u);
  Script("");
  clock_.Advance(minutes(1));
  ASSERT_TRUE(RunUntilDelivered(10));
}

TEST_F(DeliveryTest, EndsAProcessThatGivesNoVerdict) {
  Script("org mute 0 0\n");
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntil([&] { return delivery_->under_way() == 1; }));
  clock_.Advance(Delivery::kVerdictTime);
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(Waiting(), 1u);
  Script("");
  clock_.Advance(minutes(1));
  ASSERT_TRUE(RunUntilDelivered(1));
}

// A neighbour without a verdict ended the hour that the server had asked for after half a minute.
TEST_F(DeliveryTest, WaitsAsLongAsTheServerAsksForWhateverElseFailsMeanwhile) {
  Script("busy later 503 3600\nmute mute 0 0\n");
  Offer("org.example/mute/one");
  Offer("org.example/busy/one");
  ASSERT_TRUE(RunUntil([&] { return delivery_->last_error().has_value(); }));
  ASSERT_EQ(delivery_->under_way(), 1u);
  clock_.Advance(Delivery::kVerdictTime);
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(*delivery_->next_attempt() - clock_.Monotonic(),
            seconds(3600) - Delivery::kVerdictTime);
}

TEST_F(DeliveryTest, NeverSendsWhatHasExpired) {
  Script("org later 0 0\n");
  for (int i = 0; i < 30; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  Script("");
  clock_.Advance(minutes(settings_.record_expiry) + seconds(1));
  ASSERT_TRUE(RunUntil([&] { return counters_.expired == 30; }));
  EXPECT_EQ(counters_.delivered, 0u);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/spool"));
}

TEST_F(DeliveryTest, HandsOverNothingWithoutConsent) {
  std::ofstream(folder_ + "/etc/opt-out").flush();
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(Waiting(), 1u);
  std::filesystem::remove(folder_ + "/etc/opt-out");
  delivery_->TryNow();
  ASSERT_TRUE(RunUntilDelivered(1));
}

// Up to ten records left after the user had opted out, in the round that had begun before.
TEST_F(DeliveryTest, SendsNothingOnceConsentIsGoneAlsoWhereTheRoundBeganWithIt) {
  for (int i = 0; i < 3; ++i) Offer("org.example/good/one");
  ASSERT_EQ(delivery_->under_way(), 3u);
  std::ofstream(folder_ + "/etc/opt-out").flush();
  delivery_->Pump();
  EXPECT_EQ(delivery_->under_way(), 0u);
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(counters_.delivered, 0u);
  EXPECT_EQ(Waiting(), 3u);
}

TEST_F(DeliveryTest, CutLeavesEverythingWaiting) {
  Script("org mute 0 0\n");
  for (int i = 0; i < 3; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntil([&] { return delivery_->under_way() == 3; }));
  delivery_->Cut();
  EXPECT_EQ(delivery_->under_way(), 0u);
  EXPECT_EQ(Waiting(), 3u);
}

TEST_F(DeliveryTest, GivesUpWhatWaitsSomeAtATime) {
  Script("org later 0 0\n");
  for (int i = 0; i < 5; ++i) Offer("org.example/old/one");
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_TRUE(delivery_->EvictWaiting(2, "why"));
  EXPECT_TRUE(delivery_->EvictWaiting(3, "why")) << "nobody looked whether that was all";
  EXPECT_FALSE(delivery_->EvictWaiting(3, "why"));
  ASSERT_TRUE(RunUntil([&] { return counters_.evicted == 5; }));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/spool"));
}

TEST_F(DeliveryTest, KeepsTheRateLimitForFreshAndForWaitingOnes) {
  limiter_.SetLimits({.records = 5, .record_window = minutes(15)});
  for (int i = 0; i < 8; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(5));
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(counters_.delivered, 5u);
  clock_.Advance(minutes(15));
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_EQ(counters_.delivered, 5u);
  clock_.Advance(seconds(1));
  ASSERT_TRUE(RunUntilDelivered(8));
}

// A byte limit that nobody reached kept what the record limit let go, for its own longer window.
TEST_F(DeliveryTest, WaitsForTheWindowThatIsFullAndForNoOther) {
  limiter_.SetLimits(
      {.records = 10, .bytes = 1'000'000, .record_window = minutes(1), .byte_window = minutes(59)});
  for (int i = 0; i < 20; ++i) Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilDelivered(10));
  clock_.Advance(minutes(1) + seconds(1));
  ASSERT_TRUE(RunUntilDelivered(20));
}

TEST_F(DeliveryTest, FreshOnesDoNotOvertakeThoseOfTheirUidThatWaitForItsShare) {
  Script("bad refused 413 0\n");
  limiter_.SetLimits({.records = 4, .record_window = minutes(15)});
  for (const char* kind : {"bad", "bad", "second"}) {
    Offer("org.example/" + std::string(kind) + "/one", 1000);
  }
  ASSERT_TRUE(RunUntil([&] { return counters_.rejected == 2; }));
  ASSERT_EQ(Waiting(), 1u);
  // What was refused does not count, so there is room again; but the second waits.
  Offer("org.example/third/one", 1000);
  EXPECT_EQ(delivery_->under_way(), 0u);
  Offer("org.example/other/one", 1001);
  EXPECT_EQ(delivery_->under_way(), 1u);
  clock_.Advance(seconds(1));
  ASSERT_TRUE(RunUntilDelivered(3));
}

TEST_F(DeliveryTest, TellsWhenSomebodyTookAFileAway) {
  Script("org later 0 0\n");
  Offer("org.example/good/one");
  ASSERT_TRUE(RunUntilIdle());
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/spool")) {
    std::filesystem::remove(entry);
  }
  clock_.Advance(minutes(1));
  ASSERT_TRUE(RunUntil([&] { return counters_.evicted == 1; }));
  EXPECT_EQ(Waiting(), 0u);
}

}  // namespace
}  // namespace telem
