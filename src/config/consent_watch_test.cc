#include "config/consent_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace telem {
namespace {

using std::chrono::milliseconds;

class ConsentWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/telem-consent-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    root_ = path;
    settings_.config_dir = root_ + "/a/etc";
    ASSERT_TRUE(loop_.Open());
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Make(const std::string& folder) { std::filesystem::create_directories(root_ + folder); }
  void Touch(const std::string& file) { std::ofstream(root_ + file).flush(); }
  void Move(const std::string& from, const std::string& to) {
    std::filesystem::rename(root_ + from, root_ + to);
  }

  // What is known after one round of the loop; the question is no look at the files.
  bool IsGiven() {
    EXPECT_TRUE(loop_.RunOnce(milliseconds(0)));
    return consent_.IsGiven();
  }

  std::string root_;
  FakeClock clock_;
  EventLoop loop_{clock_};
  Settings settings_;
  ConsentWatch consent_{loop_, settings_};
};

TEST_F(ConsentWatchTest, SeesMarkersComeAndGo) {
  Make("/a/etc");
  EXPECT_TRUE(IsGiven());
  for (int i = 0; i < 3; ++i) {
    Touch("/a/etc/opt-out");
    EXPECT_FALSE(IsGiven());
    EXPECT_TRUE(consent_.IsWithheld());
    std::filesystem::remove(root_ + "/a/etc/opt-out");
    EXPECT_TRUE(IsGiven());
  }
  Touch("/a/opt-out");
  Move("/a/opt-out", "/a/etc/opt-out");
  EXPECT_FALSE(IsGiven());
  Move("/a/etc/opt-out", "/a/opt-out");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, AsksNobodyWhileNothingHappens) {
  Make("/a/etc");
  EXPECT_TRUE(IsGiven());
  // A marker that comes without an event: only somebody who looks would see it.
  settings_.config_dir = root_ + "/a";
  Touch("/a/opt-out");
  consent_.StartRound();
  EXPECT_TRUE(IsGiven());
  consent_.Look();
  EXPECT_FALSE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesAtOnceWhatHappenedSinceTheRoundBegan) {
  Make("/a/etc");
  EXPECT_TRUE(IsGiven());
  EXPECT_TRUE(consent_.IsStillGiven());
  Touch("/a/etc/opt-out");
  EXPECT_TRUE(consent_.IsGiven()) << "the loop has not fetched it";
  EXPECT_FALSE(consent_.IsStillGiven());
  EXPECT_FALSE(consent_.IsGiven());
  std::filesystem::remove(root_ + "/a/etc/opt-out");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesAFolderThatComesLater) {
  EXPECT_TRUE(IsGiven());
  // All at once, before anybody can watch the new folder.
  Make("/a/etc");
  Touch("/a/etc/opt-out");
  EXPECT_FALSE(IsGiven());
  std::filesystem::remove(root_ + "/a/etc/opt-out");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesEachPartOfThePathComeAlone) {
  EXPECT_TRUE(IsGiven());
  Make("/a");
  EXPECT_TRUE(IsGiven());
  Make("/a/etc");
  EXPECT_TRUE(IsGiven());
  Touch("/a/etc/opt-out");
  EXPECT_FALSE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesTheFolderGo) {
  settings_.consent = ConsentMode::kOptIn;
  Make("/a/etc");
  Touch("/a/etc/opt-in");
  EXPECT_TRUE(IsGiven());
  std::filesystem::remove_all(root_ + "/a");
  EXPECT_FALSE(IsGiven());
  Make("/a/etc");
  Touch("/a/etc/opt-in");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesTheFolderReplaced) {
  Make("/a/etc");
  Make("/a/other");
  Touch("/a/other/opt-out");
  EXPECT_TRUE(IsGiven());
  Move("/a/etc", "/a/old");
  Move("/a/other", "/a/etc");
  EXPECT_FALSE(IsGiven());
  // The one that was moved away counts no more, the new one does.
  Touch("/a/old/opt-in");
  std::filesystem::remove(root_ + "/a/etc/opt-out");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesAFolderAboveReplaced) {
  Make("/a/etc");
  Make("/b/etc");
  Touch("/b/etc/opt-out");
  EXPECT_TRUE(IsGiven());
  Move("/a", "/old");
  Move("/b", "/a");
  EXPECT_FALSE(IsGiven());
}

TEST_F(ConsentWatchTest, SeesALinkPointElsewhere) {
  Make("/a");
  Make("/one");
  Make("/two");
  Touch("/two/opt-out");
  std::filesystem::create_directory_symlink("../one", root_ + "/a/etc");
  EXPECT_TRUE(IsGiven());
  std::filesystem::create_directory_symlink("../two", root_ + "/a/new");
  Move("/a/new", "/a/etc");
  EXPECT_FALSE(IsGiven());
  std::filesystem::remove(root_ + "/two/opt-out");
  EXPECT_TRUE(IsGiven());
}

// A link to nowhere cannot be watched: then the files are asked, once a round.
TEST_F(ConsentWatchTest, AsksTheFilesWhereThereIsNothingToWatch) {
  Make("/a");
  std::filesystem::create_directory_symlink("../none", root_ + "/a/etc");
  EXPECT_TRUE(IsGiven());
  Make("/none");
  Touch("/none/opt-out");
  EXPECT_TRUE(IsGiven()) << "the same round";
  consent_.StartRound();
  EXPECT_FALSE(IsGiven());
  // And from here on it is watched.
  std::filesystem::remove(root_ + "/none/opt-out");
  EXPECT_TRUE(IsGiven());
}

TEST_F(ConsentWatchTest, TakesMarkersThatCannotBeSeenForNoAndLooksAgain) {
  settings_.config_dir = root_ + "/round";
  std::filesystem::create_symlink("round", root_ + "/round");
  EXPECT_FALSE(IsGiven());
  EXPECT_FALSE(consent_.IsWithheld());
  std::filesystem::remove(root_ + "/round");
  Make("/round");
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(IsGiven());
}

}  // namespace
}  // namespace telem
