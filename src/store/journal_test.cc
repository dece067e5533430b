#include "store/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "record/record_id.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

constexpr char kBootId[] = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";

class JournalTest : public testing::Test {
 protected:
  Journal Open(int64_t max_records = 1000) {
    auto journal = Journal::Open(folder_.path(), max_records);
    EXPECT_TRUE(journal) << journal.error().message;
    return std::move(*journal);
  }

  std::string NewId() { return MakeRecordId(WallTime(std::chrono::milliseconds(++ms_))).ToHex(); }

  void Add(Journal& journal, const std::string& id, RecordState state) {
    journal.Add({.record_id = id,
                 .time = 1'795'445'503,
                 .classification = "org.example/t/x",
                 .event_id = "0123456789abcdef0123456789abcdef",
                 .boot_id = kBootId,
                 .state = state});
  }

  // Every line, and that each is one of ours.
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    std::istringstream text(folder_.Read("journal"));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

  TestFolder folder_;
  int64_t ms_ = 1'795'445'503'000;
};

TEST_F(JournalTest, WritesTheLinesOfOneRoundTogether) {
  Journal journal = Open();
  const std::string id = NewId();
  Add(journal, id, RecordState::kSpooled);
  Add(journal, id, RecordState::kDelivered);
  EXPECT_TRUE(Lines().empty());
  ASSERT_TRUE(journal.Flush());
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_EQ(ParseJournalLine(Lines()[1])->state, RecordState::kDelivered);
}

TEST_F(JournalTest, EndsALineThatAFormerDaemonLeftTorn) {
  folder_.Write("journal", "0123456789abcdef01");
  Journal journal = Open();
  Add(journal, NewId(), RecordState::kSpooled);
  ASSERT_TRUE(journal.Flush());
  ASSERT_EQ(Lines().size(), 2u);
  EXPECT_FALSE(ParseJournalLine(Lines()[0]));
  EXPECT_TRUE(ParseJournalLine(Lines()[1]));
}

TEST_F(JournalTest, KeepsTheLatestRecordsWithAllTheirLines) {
  Journal journal = Open(3);
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(NewId());
    Add(journal, ids.back(), RecordState::kSpooled);
  }
  // An old one that came to its end late is news.
  Add(journal, ids[0], RecordState::kDelivered);
  ASSERT_TRUE(journal.Flush());
  ASSERT_TRUE(journal.Trim());
  std::vector<std::string> kept;
  for (const std::string& line : Lines()) kept.push_back(line.substr(0, 32));
  EXPECT_EQ(kept, (std::vector<std::string>{ids[0], ids[8], ids[9], ids[0]}));
  Add(journal, NewId(), RecordState::kSpooled);
  ASSERT_TRUE(journal.Flush());
  EXPECT_EQ(Lines().size(), 5u) << "after the trim it goes on in the new file";
}

TEST_F(JournalTest, TrimsAJournalOf1x) {
  std::string text;
  for (int i = 0; i < 20; ++i) {
    text += NewId() + "\x1e" + "1795445503\x1eorg.example/t/x\x1e" +
            "0123456789abcdef0123456789abcdef\x1e" + kBootId + "\n";
  }
  folder_.Write("journal", text);
  Journal journal = Open(5);
  ASSERT_TRUE(journal.Trim());
  ASSERT_EQ(Lines().size(), 5u);
  EXPECT_TRUE(text.ends_with(folder_.Read("journal")));
}

TEST_F(JournalTest, LeavesAJournalThatFitsAlone) {
  Journal journal = Open(5);
  for (int i = 0; i < 5; ++i) Add(journal, NewId(), RecordState::kSpooled);
  ASSERT_TRUE(journal.Flush());
  const std::string before = folder_.Read("journal");
  ASSERT_TRUE(journal.Trim());
  EXPECT_EQ(folder_.Read("journal"), before);
}

TEST_F(JournalTest, IsOvergrownWhenItIsTwiceAsLongAsItShouldBe) {
  Journal journal = Open(1000);
  for (int i = 0; i < 2000; ++i) Add(journal, NewId(), RecordState::kSpooled);
  EXPECT_FALSE(journal.IsOvergrown());
  Add(journal, NewId(), RecordState::kSpooled);
  EXPECT_TRUE(journal.IsOvergrown());
}

TEST_F(JournalTest, KeepsNothingWhenNothingIsToBeKept) {
  Journal journal = Open(0);
  Add(journal, NewId(), RecordState::kSpooled);
  EXPECT_FALSE(journal.HasPending());
}

// Half a line stays when the disk is full; what comes later must not be glued to it, and the line
// is written again. (Without that a record whose last line was lost kept its former state for
// ever.)
TEST_F(JournalTest, WritesALineAgainAfterAWriteThatFailedMidway) {
  Journal journal = Open();
  Add(journal, NewId(), RecordState::kSpooled);
  ASSERT_TRUE(journal.Flush());
  const std::string torn_id = NewId();
  const size_t size = folder_.Read("journal").size();

  const auto former = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit tight{size + 10, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  Add(journal, torn_id, RecordState::kSpooled);
  const Status failed = journal.Flush();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, former);

  EXPECT_FALSE(failed);
  Add(journal, NewId(), RecordState::kSpooled);
  ASSERT_TRUE(journal.Flush());
  ASSERT_EQ(Lines().size(), 4u);
  EXPECT_EQ(Lines()[1].size(), 10u);
  EXPECT_EQ(ParseJournalLine(Lines()[2])->record_id, torn_id);
  EXPECT_TRUE(ParseJournalLine(Lines()[3]));
}

}  // namespace
}  // namespace telem
