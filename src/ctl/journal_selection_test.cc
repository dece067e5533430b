#include "ctl/journal_selection.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

JournalEntry Entry() {
  JournalEntry entry;
  entry.record_id = "91c824f76f470c73fcc99abe1eb5cc31";
  entry.time = 100;
  entry.classification = "org.example/test/one";
  entry.event_id = "2312381d09c3d3397abf4b1fd626d941";
  entry.boot_id = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";
  entry.state = RecordState::kDelivered;
  return entry;
}

// Whether the entry is selected when one condition is set.
template <typename Member, typename Value>
bool Selects(Member JournalSelection::* condition, const Value& value) {
  JournalSelection selection;
  selection.*condition = value;
  return selection.Matches(Entry());
}

TEST(JournalSelectionTest, TakesEverythingWhenNothingIsAsked) {
  EXPECT_TRUE(JournalSelection().Matches(Entry()));
}

TEST(JournalSelectionTest, ComparesIdsAsAWhole) {
  EXPECT_TRUE(Selects(&JournalSelection::record_id, Entry().record_id));
  EXPECT_FALSE(Selects(&JournalSelection::record_id, "91c8"));
  EXPECT_TRUE(Selects(&JournalSelection::event_id, Entry().event_id));
  EXPECT_FALSE(Selects(&JournalSelection::event_id, ""));
  EXPECT_TRUE(Selects(&JournalSelection::boot_id, Entry().boot_id));
  EXPECT_FALSE(Selects(&JournalSelection::boot_id, "none"));
}

TEST(JournalSelectionTest, TakesAClassificationExactlyOrEverythingBelowAPrefix) {
  for (const char* wanted : {"org.example/test/one", "org.example/test/*", "org.example/*"}) {
    EXPECT_TRUE(Selects(&JournalSelection::classification, wanted)) << wanted;
  }
  for (const char* wanted : {"org.example/test/o*", "org.example*", "org.exam/*", "/*", "*", "x",
                             "", "org.example/test/one/*"}) {
    EXPECT_FALSE(Selects(&JournalSelection::classification, wanted)) << wanted;
  }
}

TEST(JournalSelectionTest, ComparesTheNewestState) {
  EXPECT_TRUE(Selects(&JournalSelection::state, RecordState::kDelivered));
  EXPECT_FALSE(Selects(&JournalSelection::state, RecordState::kSpooled));
  JournalEntry of_1x = Entry();
  of_1x.state.reset();
  JournalSelection selection;
  selection.state = RecordState::kSpooled;
  EXPECT_FALSE(selection.Matches(of_1x));
}

TEST(JournalSelectionTest, CountsTheGivenSecondIn) {
  EXPECT_TRUE(Selects(&JournalSelection::since, 100u));
  EXPECT_FALSE(Selects(&JournalSelection::since, 101u));
}

TEST(JournalSelectionTest, AddsConditionsUp) {
  JournalSelection selection;
  selection.classification = "org.example/*";
  selection.state = RecordState::kDelivered;
  EXPECT_TRUE(selection.Matches(Entry()));
  selection.boot_id = "none";
  EXPECT_FALSE(selection.Matches(Entry()));
}

}  // namespace
}  // namespace telem
