#include "probes/journal/journal_state.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"

namespace telem {
namespace {

constexpr char kCursor[] = "s=1;i=2;b=3;m=4;t=5;x=6";

class JournalStateTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-journal-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/position";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(JournalStateTest, IsKept) {
  uint64_t held = 0;
  {
    auto file = LockedJournalState::Open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->state.cursor, "");
    file->state.cursor = kCursor;
    file->state.counts.Judge("a.service", "end:1", WallTime{}, held);
    ASSERT_TRUE(file->Save());
  }
  auto file = LockedJournalState::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->state.cursor, kCursor);
  EXPECT_EQ(file->state.counts.Judge("a.service", "end:1", WallTime{}, held),
            FailureCounts::Telling::kToldBefore);
}

TEST_F(JournalStateTest, IsOneProbesOnly) {
  const auto first = LockedJournalState::Open(path_);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = LockedJournalState::Open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

TEST_F(JournalStateTest, IsReadableByWhoeverTheProbeRunsAs) {
  ::umask(022);
  const auto file = LockedJournalState::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->Save());
  for (const std::string& name : {path_, path_ + ".lock"}) {
    struct stat st;
    ASSERT_EQ(::stat(name.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0644u) << name;
  }
}

TEST_F(JournalStateTest, StartsFromNothingWhereTheFileIsDamaged) {
  for (const std::string& text :
       {std::string("\xff\xfe\0\x01", 4), std::string(1000, 'x'), std::string(1'000'000, '\n')}) {
    std::ofstream(path_) << text;
    const auto file = LockedJournalState::Open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->state.cursor, "");
  }
}

// One that cannot be read would let everything of this boot be sent once more at each start.
TEST_F(JournalStateTest, FailsWhereTheFileIsThereAndCannotBeRead) {
  ASSERT_TRUE(EnsureFolder(path_, 0755));
  EXPECT_FALSE(LockedJournalState::Open(path_));
}

}  // namespace
}  // namespace telem
