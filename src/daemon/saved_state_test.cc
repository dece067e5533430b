#include "daemon/saved_state.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr char kBoot[] = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";

SavedState Sample(const Clock& clock) {
  SavedState state;
  state.wall = clock.Now();
  state.monotonic = clock.Monotonic();
  state.boot_id = kBoot;
  state.counting_since = clock.Now() - hours(5);
  uint64_t value = 0;
  for (const auto& [name, member] : kCounterNames) state.counters.*member = ++value;
  state.last_success = clock.Now() - seconds(7);
  state.limiter_lines = "sent_records all 3:1 12:4\nsent_bytes 1000 3:700\n";
  return state;
}

TEST(SavedStateTest, ReadsWhatItWrote) {
  const FakeClock clock;
  const SavedState saved = Sample(clock);
  const auto read = ParseSavedState(FormatSavedState(saved));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->counters, saved.counters);
  EXPECT_EQ(read->counting_since, saved.counting_since);
  EXPECT_EQ(read->last_success, saved.last_success);
  EXPECT_EQ(read->limiter_lines, saved.limiter_lines);
  EXPECT_EQ(read->boot_id, saved.boot_id);
  EXPECT_EQ(read->wall, saved.wall);
  EXPECT_EQ(read->monotonic, saved.monotonic);
}

TEST(SavedStateTest, IsNothingWhereThereIsNone) {
  for (const char* text : {"", "\n", "counter.accepted 5\n", "saved", "\177ELF"}) {
    EXPECT_FALSE(ParseSavedState(text)) << text;
  }
}

TEST(SavedStateTest, PassesOverWhatMakesNoSense) {
  const auto read = ParseSavedState(
      "saved 99999999999999999999\nmonotonic -1\ncounter.accepted 5\ncounter.unknown 1\n"
      "counter.found x\nlast_success 4611686018427387904\ncounter.delivered 3");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->counters.accepted, 5u);
  EXPECT_EQ(read->counters.delivered, 3u);
  EXPECT_EQ(read->counters.found, 0u);
  EXPECT_EQ(read->wall, WallTime());
}

TEST(SavedStateTest, IsAsOldAsTheMonotonicClockSaysWithinOneBoot) {
  FakeClock clock;
  const SavedState saved = Sample(clock);
  clock.Advance(seconds(90));
  clock.SetWall(clock.Now() - hours(24));
  EXPECT_EQ(AgeOf(saved, kBoot, clock), seconds(90));
}

TEST(SavedStateTest, IsAsOldAsTheTimeOfDaySaysAfterABoot) {
  FakeClock clock;
  const SavedState saved = Sample(clock);
  clock.SetWall(clock.Now() + seconds(300));
  EXPECT_EQ(AgeOf(saved, "another", clock), seconds(300));
  clock.SetWall(clock.Now() - hours(24));
  EXPECT_EQ(AgeOf(saved, "another", clock), seconds(0));
}

TEST(SavedStateTest, CarriesOverWhatHasItsLastState) {
  Counters saved;
  saved.frames = 20;
  saved.found = 3;
  saved.accepted = 10;
  saved.delivered = 5;
  saved.rejected = 1;
  saved.evicted = 1;  // and six wait
  const Counters next = CarryOver(saved);
  EXPECT_EQ(next.frames, 20u);
  EXPECT_EQ(next.found, 0u);
  EXPECT_EQ(next.found + next.accepted, next.delivered + next.rejected + next.evicted);
}

}  // namespace
}  // namespace telem
