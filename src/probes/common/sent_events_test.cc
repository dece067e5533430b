#include "probes/common/sent_events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/files.h"
#include "store/journal_line.h"

namespace telem {
namespace {

class SentEventsTest : public ::testing::Test {
 protected:
  SentEventsTest() {
    // In memory where there is such a place: each step is synced.
    const char* base = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    std::string folder = std::string(base) + "/telem-sent-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
  }
  ~SentEventsTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/sent-events"; }
  std::string journal() const { return folder_ + "/journal"; }

  Status Send(const std::string& key, Status outcome = {}) { return SendOf(key, key, outcome); }

  Status SendOf(const std::string& event, const std::string& key, Status outcome = {}) {
    return SentEvents(path(), journal()).SendOnce(key, event, [&] {
      ++sent_;
      return outcome;
    });
  }

  // telemd's line on the record of this number.
  void Journal(char number, const std::string& event, std::optional<RecordState> state) {
    std::string line;
    const std::string record(32, number);
    AppendJournalLine(line, {.record_id = record,
                             .classification = "org.x/y/z",
                             .event_id = event,
                             .boot_id = "00000000-0000-0000-0000-000000000000",
                             .state = state});
    std::ofstream(journal(), std::ios::app) << line;
  }

  std::string folder_;
  int sent_ = 0;
};

TEST_F(SentEventsTest, SendsARecordOnce) {
  EXPECT_TRUE(Send("a"));
  EXPECT_TRUE(Send("a"));
  EXPECT_TRUE(Send("b"));
  EXPECT_EQ(sent_, 2);
}

TEST_F(SentEventsTest, SendsAgainWhatWasNotTakenOver) {
  EXPECT_FALSE(Send("a", Fail(ErrorCode::kUnavailable, "no")));
  EXPECT_TRUE(Send("a"));
  EXPECT_EQ(sent_, 2);
}

// The probe was killed between telemd's answer and its own note.
TEST_F(SentEventsTest, AsksTheJournalAboutWhatWasOnlyBegun) {
  std::ofstream(path()) << "known ?\nunknown ?\n";
  Journal('1', "known", RecordState::kSpooled);
  EXPECT_TRUE(Send("known"));
  EXPECT_EQ(sent_, 0);
  EXPECT_TRUE(Send("unknown"));
  EXPECT_EQ(sent_, 1);
}

// telemd writes down what it refuses for its rate limit, and what it could not sync after all; both
// under the event's id. Its sender was told no, so the evidence is still to be sent.
TEST_F(SentEventsTest, WhatTelemdDroppedIsSentAgain) {
  std::ofstream(path()) << "limited ?\nunsynced ?\nsecond ?\n";
  Journal('1', "limited", RecordState::kDropped);
  Journal('2', "unsynced", RecordState::kSpooled);
  Journal('2', "", RecordState::kDropped);
  EXPECT_TRUE(Send("limited"));
  EXPECT_TRUE(Send("unsynced"));
  EXPECT_EQ(sent_, 2);
  Journal('3', "second", RecordState::kDropped);
  Journal('4', "second", RecordState::kSpooled);
  Journal('4', "second", RecordState::kDelivered);
  EXPECT_TRUE(Send("second"));
  EXPECT_EQ(sent_, 2);
}

// A panic has the id of the report that led to it: the journal's record may be of either.
TEST_F(SentEventsTest, TellsTheAspectsOfAnEventApart) {
  Journal('1', "event", RecordState::kSpooled);
  EXPECT_FALSE(SendOf("event", "eventpanic", Fail(ErrorCode::kUnavailable, "no")));
  EXPECT_TRUE(SendOf("event", "eventpanic"));
  EXPECT_EQ(sent_, 2);
  std::ofstream(path()) << "eventpanic ? 1\n";
  Journal('2', "event", RecordState::kDelivered);
  EXPECT_TRUE(SendOf("event", "eventpanic"));
  EXPECT_EQ(sent_, 2);
}

TEST_F(SentEventsTest, RemembersTheLatestInABoundedFile) {
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(Send("key" + std::to_string(i)));
  EXPECT_LT(std::filesystem::file_size(path()), 64U * 1024);
  EXPECT_TRUE(Send("key1999"));
  EXPECT_TRUE(Send("key1900"));
  EXPECT_EQ(sent_, 2000);
}

TEST_F(SentEventsTest, ADamagedFileCostsNoRecord) {
  std::ofstream(path()) << std::string(3'000'000, '\n');
  EXPECT_TRUE(Send("a"));
  EXPECT_TRUE(Send("a"));
  EXPECT_EQ(sent_, 1);
  std::ofstream(path()) << std::string("a\0b\xff ? ?\n\n\n x", 13);
  EXPECT_TRUE(Send("c"));
  EXPECT_EQ(sent_, 2);
}

TEST_F(SentEventsTest, SendsNothingItCouldNotRemember) {
  const SentEvents events(folder_ + "/none/sent-events", journal());
  EXPECT_FALSE(events.SendOnce("a", "a", [&]() -> Status {
    ++sent_;
    return {};
  }));
  EXPECT_EQ(sent_, 0);
}

}  // namespace
}  // namespace telem
