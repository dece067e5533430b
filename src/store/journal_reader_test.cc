#include "store/journal_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace telem {
namespace {

constexpr std::string_view kBootId = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25";

std::string Id(int number) {
  std::string id = std::to_string(number);
  return std::string(32 - id.size(), '0') + id;
}

std::string Line(int id, RecordState state, uint64_t time = 1795445599) {
  std::string text;
  AppendJournalLine(text, {.record_id = Id(id),
                           .time = time,
                           .classification = "org.example/test/one",
                           .event_id = "0123456789abcdef0123456789abcdef",
                           .boot_id = kBootId,
                           .severity = 1,
                           .bytes = 400,
                           .state = state,
                           .uid = 1000,
                           .pid = 42,
                           .comm = "hprobe"});
  return text;
}

class JournalReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-journal-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/journal";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(std::string_view text) { std::ofstream(path_) << text; }
  void Append(std::string_view text) { std::ofstream(path_, std::ios::app) << text; }
  void Replace(std::string_view text) {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }

  // "ID STATE" of what changed, with "(new)" behind records that came.
  std::vector<std::string> News(JournalReader& reader) {
    std::vector<std::string> news;
    const auto read = reader.ReadNew([&](const JournalEntry& entry, bool is_new) {
      news.push_back(std::to_string(std::stoi(entry.record_id)) + " " +
                     std::string(entry.state ? NameOf(*entry.state) : "none") +
                     (is_new ? " (new)" : ""));
    });
    EXPECT_TRUE(read) << read.error().message;
    return news;
  }

  using Strings = std::vector<std::string>;

  std::string folder_;
  std::string path_;
};

TEST_F(JournalReaderTest, KeepsOneEntryARecordWithItsNewestStateInTheOrderOfTheirComing) {
  Write(Line(1, RecordState::kSpooled, 100) + Line(2, RecordState::kSpooled, 200) +
        Line(1, RecordState::kDelivered, 300));
  JournalReader reader(path_);
  EXPECT_EQ(News(reader), (Strings{"1 delivered (new)", "2 spooled (new)"}));
  ASSERT_EQ(reader.entries().size(), 2u);
  EXPECT_EQ(reader.entries()[0].time, 100u);
}

TEST_F(JournalReaderTest, TellsOnlyWhatIsNewOfAGrowingFile) {
  Write(Line(1, RecordState::kSpooled));
  JournalReader reader(path_);
  News(reader);
  EXPECT_EQ(News(reader), Strings{});
  Append(Line(2, RecordState::kSpooled) + Line(1, RecordState::kDelivered));
  EXPECT_EQ(News(reader), (Strings{"1 delivered", "2 spooled (new)"}));
}

TEST_F(JournalReaderTest, ReadsALineOnlyWhenItIsWhole) {
  const std::string line = Line(1, RecordState::kSpooled);
  Write("");
  JournalReader reader(path_);
  for (const char c : line.substr(0, line.size() - 1)) {
    Append(std::string(1, c));
    EXPECT_EQ(News(reader), Strings{});
  }
  Append("\n");
  EXPECT_EQ(News(reader), Strings{"1 spooled (new)"});
}

TEST_F(JournalReaderTest, PassesOverTornForeignAndEndlessLines) {
  const std::string whole = Line(1, RecordState::kSpooled);
  Write("not ours\n" + whole.substr(0, 50) + "\n" + std::string(100'000, 'x') + "\n\n" +
        std::string("\0\0\x1e\n", 4) + whole + whole.substr(0, 80));
  JournalReader reader(path_);
  EXPECT_EQ(News(reader), Strings{"1 spooled (new)"});
}

TEST_F(JournalReaderTest, GoesOnWhenTheJournalIsTrimmedByRename) {
  Write(Line(1, RecordState::kSpooled) + Line(2, RecordState::kSpooled));
  JournalReader reader(path_);
  News(reader);
  Append(Line(3, RecordState::kSpooled));
  Replace(Line(2, RecordState::kSpooled) + Line(3, RecordState::kDelivered) +
          Line(4, RecordState::kSpooled));
  EXPECT_EQ(News(reader), (Strings{"3 spooled (new)", "3 delivered", "4 spooled (new)"}));
  EXPECT_EQ(reader.entries().size(), 3u);
  Append(Line(5, RecordState::kSpooled));
  EXPECT_EQ(News(reader), Strings{"5 spooled (new)"});
}

TEST_F(JournalReaderTest, GoesOnWhenTheFileIsCutInPlace) {
  Write(Line(1, RecordState::kSpooled) + Line(2, RecordState::kSpooled));
  JournalReader reader(path_);
  News(reader);
  Write(Line(3, RecordState::kSpooled));
  EXPECT_EQ(News(reader), Strings{"3 spooled (new)"});
}

TEST_F(JournalReaderTest, FindsAJournalThatComesLaterAndMakesNoneItself) {
  JournalReader reader(path_);
  const auto read = reader.ReadNew([](const JournalEntry&, bool) {});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
  Write(Line(1, RecordState::kSpooled));
  EXPECT_EQ(News(reader), Strings{"1 spooled (new)"});
}

TEST_F(JournalReaderTest, ForgetsAJournalThatWasRemoved) {
  Write(Line(1, RecordState::kSpooled));
  JournalReader reader(path_);
  News(reader);
  std::filesystem::remove(path_);
  EXPECT_FALSE(reader.ReadNew([](const JournalEntry&, bool) {}));
  EXPECT_TRUE(reader.entries().empty());
}

TEST_F(JournalReaderTest, DoesNotWaitForAPipe) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  JournalReader reader(path_);
  const auto read = reader.ReadNew([](const JournalEntry&, bool) {});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
}

TEST_F(JournalReaderTest, KeepsTheSenderWhenALaterLineDoesNotKnowIt) {
  std::string nameless;
  AppendJournalLine(
      nameless,
      {.record_id = Id(1), .boot_id = kBootId, .state = RecordState::kDelivered, .detail = "200"});
  Write(Line(1, RecordState::kSpooled) + nameless);
  JournalReader reader(path_);
  News(reader);
  EXPECT_EQ(reader.entries()[0].comm, "hprobe");
  EXPECT_EQ(reader.entries()[0].uid, 1000u);
  EXPECT_EQ(reader.entries()[0].detail, "200");
}

TEST_F(JournalReaderTest, ReadsAJournalOf1xWhereNoStateIsKnown) {
  Write(Id(1) + "\x1e" + "1795445599\x1eorg.clearlinux/hello/world\x1e" + Id(7) + "\x1e" +
        std::string(kBootId) + "\n");
  JournalReader reader(path_);
  EXPECT_EQ(News(reader), Strings{"1 none (new)"});
  EXPECT_EQ(reader.entries()[0].event_id, Id(7));
}

}  // namespace
}  // namespace telem
