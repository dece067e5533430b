#include "daemon/consent_follower.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "daemon/delivery_fixture.h"

namespace telem {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class ConsentFollowerTest : public DeliveryFixture {
 protected:
  void Start() {
    OpenParts();
    follower_.emplace(ConsentFollower::Parts{.loop = loop_,
                                             .settings = settings_,
                                             .consent = consent_,
                                             .spool = *spool_,
                                             .delivery = *delivery_,
                                             .counters = counters_,
                                             .load_machine_id = [] {}},
                      clock_.Now());
  }
  void LetWait(int count) {
    for (int i = 0; i < count; ++i) spool_->Append(Put());
  }

  void Follow() {
    consent_.Look();
    follower_->Follow();
  }
  void OptOut() {
    ASSERT_TRUE(ReplaceFile(settings_.config_dir + "/opt-out", "", 0644));
    Follow();
  }
  void OptInAgain() {
    std::filesystem::remove(settings_.config_dir + "/opt-out");
    Follow();
  }

  std::optional<WallTime> Noted() const { return ReadConsentSince(settings_); }
  WallTime Now() const { return std::chrono::floor<seconds>(clock_.Now()); }

  std::optional<ConsentFollower> follower_;
};

// The oldest record may be the last that is found.
TEST_F(ConsentFollowerTest, WritesNoStartDownBeforeAllThatWaitsIsKnown) {
  Start();
  const WallTime first = Now();
  Put();
  clock_.Advance(hours(1));
  Start();
  Follow();
  EXPECT_FALSE(Noted());
  Scan();
  Follow();
  EXPECT_EQ(Noted(), first);
}

TEST_F(ConsentFollowerTest, MovesTheStartOfThisConsentWithTheClockAndNoEarlierOne) {
  Start();
  Scan();
  const WallTime first = Now();
  Follow();
  follower_->MoveStart(seconds(-7));
  EXPECT_EQ(Noted(), first - seconds(7));
  OptOut();
  follower_->MoveStart(seconds(100));
  EXPECT_FALSE(Noted()) << "there is none that could move";
  clock_.Advance(hours(1));
  OptInAgain();
  EXPECT_EQ(Noted(), first + hours(1));
}

TEST_F(ConsentFollowerTest, KnowsWhatCameBeforeConsentWhereItsStartAndTheTimeTellSomething) {
  ASSERT_TRUE(WriteConsentSince(settings_, std::chrono::floor<seconds>(clock_.Now() - hours(1))));
  Start();
  EXPECT_TRUE(follower_->CameBefore(clock_.Now() - hours(2)));
  EXPECT_FALSE(follower_->CameBefore(clock_.Now()));
  EXPECT_FALSE(follower_->CameBefore(WallTime(seconds(60)))) << "by a clock that was not set";
  // The clock was set back since.
  ASSERT_TRUE(WriteConsentSince(settings_, std::chrono::floor<seconds>(clock_.Now() + hours(1))));
  Start();
  EXPECT_FALSE(follower_->CameBefore(clock_.Now() - hours(2)));
}

TEST_F(ConsentFollowerTest, GivesUpAllThatWaitedAlsoWhereConsentComesBackMeanwhile) {
  Start();
  Scan();
  LetWait(300);
  OptOut();
  EXPECT_TRUE(follower_->EvictSome());
  const size_t left = spool_->waiting();
  EXPECT_GT(left, 0u);
  EXPECT_LT(left, 300u);
  OptInAgain();
  EXPECT_FALSE(follower_->EvictSome());
  EXPECT_EQ(spool_->waiting(), 0u);
  LetWait(1);
  EXPECT_FALSE(follower_->EvictSome());
  EXPECT_EQ(spool_->waiting(), 1u) << "this one came with consent";
}

TEST_F(ConsentFollowerTest, RemovesNothingWhereTheMarkersCannotBeLookedAt) {
  Start();
  Scan();
  Follow();
  LetWait(1);
  const auto noted = Noted();
  ASSERT_TRUE(noted);
  std::filesystem::create_symlink("round", folder_ + "/round");
  settings_.config_dir = folder_ + "/round";
  Follow();
  EXPECT_FALSE(follower_->has_consent());
  EXPECT_FALSE(follower_->EvictSome());
  EXPECT_EQ(spool_->waiting(), 1u);
  EXPECT_EQ(Noted(), noted);
}

}  // namespace
}  // namespace telem
