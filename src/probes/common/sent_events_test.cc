#include "probes/common/sent_events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"

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

  Status Send(const std::string& key, Status outcome = {}) {
    return SentEvents(path(), journal()).SendOnce(key, key, [&] {
      ++sent_;
      return outcome;
    });
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
  std::ofstream(journal()) << "id\x1e" << "1\x1e" << "org.x/y/z\x1eknown\x1e" << "boot\n";
  EXPECT_TRUE(Send("known"));
  EXPECT_EQ(sent_, 0);
  EXPECT_TRUE(Send("unknown"));
  EXPECT_EQ(sent_, 1);
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
