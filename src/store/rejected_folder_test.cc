#include "store/rejected_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

class RejectedFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_ / "spool");
    auto spool = OpenFolder(folder_ / "spool");
    ASSERT_TRUE(spool);
    spool_ = std::move(*spool);
  }

  void TakeIn(const std::string& name, std::string_view bytes, std::string_view reason) {
    folder_.Write("spool/" + name, bytes);
    const Status taken = rejected_.TakeIn(spool_.get(), name, reason);
    ASSERT_TRUE(taken) << taken.error().message;
  }
  std::vector<RejectedFolder::File> List() {
    auto files = rejected_.List();
    EXPECT_TRUE(files);
    return files ? std::move(*files) : std::vector<RejectedFolder::File>();
  }

  TestFolder folder_;
  UniqueFd spool_;
  RejectedFolder rejected_{folder_ / "rejected"};
};

TEST_F(RejectedFolderTest, IsEmptyBeforeAnythingWasRejected) {
  EXPECT_TRUE(List().empty());
  EXPECT_EQ(rejected_.Read("x").error().code, ErrorCode::kNotFound);
}

TEST_F(RejectedFolderTest, KeepsFilesWithTheirReasonsInTheOrderOfComing) {
  TakeIn("second-by-name", "bytes", "413 too large");
  TakeIn("a-first-by-name", "", "");
  const auto files = List();
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].name, "second-by-name");
  EXPECT_EQ(files[0].reason, "413 too large");
  EXPECT_EQ(files[0].size, 5u);
  EXPECT_GT(files[0].time, 1'700'000'000);
  EXPECT_TRUE(files[0].is_regular);
  EXPECT_EQ(files[1].reason, "");
  EXPECT_EQ(*rejected_.Read("second-by-name"), "bytes");
  EXPECT_EQ(folder_.CountFiles("spool"), 0u);
}

TEST_F(RejectedFolderTest, AnotherObjectKnowsTheReasonsToo) {
  TakeIn("x", "bytes", "400 no");
  TakeIn("x", "again", "415 still no");
  const auto files = RejectedFolder(folder_ / "rejected").List();
  ASSERT_TRUE(files && files->size() == 1);
  EXPECT_EQ(files->front().reason, "415 still no");
}

TEST_F(RejectedFolderTest, AReasonOrANameCannotForgeALine) {
  TakeIn("x\ny\x1ez", "bytes", "no\nx\x1eyes");
  const auto files = List();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].name, "x\ny\x1ez");
  EXPECT_EQ(files[0].reason, "no?x?yes");
}

TEST_F(RejectedFolderTest, KeepsAHundredFilesAndNoMore) {
  for (int i = 0; i < 105; ++i) TakeIn(std::to_string(i), "refused", "400 no");
  EXPECT_EQ(folder_.CountFiles("rejected"), 100u);
  EXPECT_EQ(List().front().name, "5");
}

TEST_F(RejectedFolderTest, KeepsTenMebibytesAndNoMore) {
  const std::string mebibyte(1 << 20, 'x');
  for (int i = 0; i < 12; ++i) TakeIn(std::to_string(i), mebibyte, "400 no");
  EXPECT_EQ(folder_.CountFiles("rejected"), 10u);
  EXPECT_EQ(List().front().name, "2");
}

TEST_F(RejectedFolderTest, AFileThatIsLargerThanAllTakesNobodysPlace) {
  TakeIn("small", "bytes", "400 no");
  folder_.Write("spool/huge", std::string(RejectedFolder::kMaxBytes + 1, 'x'));
  EXPECT_FALSE(rejected_.HasPlaceFor(spool_.get(), "huge"));
  EXPECT_EQ(rejected_.TakeIn(spool_.get(), "huge", "no record").error().code, ErrorCode::kInvalid);
  // It may be worth more to somebody than all that telemd has.
  EXPECT_EQ(folder_.CountFiles("spool"), 1u);
  EXPECT_EQ(List().size(), 1u);
}

TEST_F(RejectedFolderTest, ReasonsOfFilesThatAreGoneDoNotHeapUp) {
  const std::string reason(300, 'r');
  for (int i = 0; i < 1000; ++i) TakeIn(std::to_string(i), "x", reason);
  struct stat st;
  ASSERT_EQ(::stat((folder_ / "rejected-reasons").c_str(), &st), 0);
  EXPECT_LT(st.st_size, 140 * 1024);
  for (const auto& file : List()) EXPECT_EQ(file.reason, reason);
}

TEST_F(RejectedFolderTest, AReasonThatCannotBeWrittenHoldsNothingUp) {
  std::filesystem::create_directory(folder_ / "rejected-reasons");
  TakeIn("x", "bytes", "400 no");
  const auto files = List();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].reason, "");
}

TEST_F(RejectedFolderTest, FollowsNoLinkAndReadsNoPipe) {
  ASSERT_EQ(::symlink("/etc/passwd", (folder_ / "spool/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((folder_ / "spool/pipe").c_str(), 0600), 0);
  for (const char* name : {"link", "pipe"}) {
    ASSERT_TRUE(rejected_.TakeIn(spool_.get(), name, "no regular file"));
    EXPECT_FALSE(rejected_.Read(name)) << name;
  }
  for (const auto& file : List()) EXPECT_FALSE(file.is_regular) << file.name;
}

TEST_F(RejectedFolderTest, GivesAFileBackUnderANameOfItsOwn) {
  TakeIn("x", "bytes", "400 no");
  ASSERT_TRUE(rejected_.GiveBack("x", spool_.get(), "y"));
  EXPECT_EQ(folder_.Read("spool/y"), "bytes");
  EXPECT_TRUE(List().empty());
  EXPECT_EQ(rejected_.GiveBack("x", spool_.get(), "y").error().code, ErrorCode::kNotFound);
}

// /dev/shm is another file system than /tmp, where there are both.
TEST(RejectedFolderAcrossFileSystemsTest, CopiesEitherWay) {
  char path[] = "/dev/shm/telem-rejected-XXXXXX";
  if (::mkdtemp(path) == nullptr) GTEST_SKIP() << "no folder in /dev/shm can be made";
  const TestFolder folder;
  struct stat here;
  struct stat there;
  ASSERT_TRUE(::stat(folder.path().c_str(), &here) == 0 && ::stat(path, &there) == 0);
  const auto spool = OpenFolder(path);
  ASSERT_TRUE(spool);
  const std::string file = std::string(path) + "/x";
  std::ofstream(file) << "bytes";
  ASSERT_EQ(::symlink("/etc/passwd", (std::string(path) + "/link").c_str()), 0);
  RejectedFolder rejected(folder / "rejected");
  EXPECT_TRUE(rejected.TakeIn(spool->get(), "x", "400 no"));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_EQ(*rejected.Read("x"), "bytes");
  // What cannot be copied goes where nothing is lost with it; it was found again at each start.
  if (here.st_dev != there.st_dev) {
    std::filesystem::create_directory(std::string(path) + "/empty");
    ASSERT_EQ(::mkfifo((std::string(path) + "/pipe").c_str(), 0600), 0);
    for (const char* name : {"link", "pipe", "empty"}) {
      EXPECT_TRUE(rejected.HasPlaceFor(spool->get(), name)) << name;
      EXPECT_EQ(rejected.TakeIn(spool->get(), name, "no regular file").error().code,
                ErrorCode::kInvalid);
      EXPECT_FALSE(
          std::filesystem::exists(std::filesystem::symlink_status(std::string(path) + "/" + name)))
          << name;
    }
    std::filesystem::create_directories(std::string(path) + "/full/of/things");
    EXPECT_FALSE(rejected.HasPlaceFor(spool->get(), "full"));
    EXPECT_EQ(rejected.TakeIn(spool->get(), "full", "no regular file").error().code,
              ErrorCode::kInvalid);
    EXPECT_TRUE(std::filesystem::exists(std::string(path) + "/full/of/things"));
  }
  EXPECT_TRUE(rejected.GiveBack("x", spool->get(), "x"));
  EXPECT_TRUE(std::filesystem::exists(file));
  std::filesystem::remove_all(path);
}

TEST_F(RejectedFolderTest, RemovesAFileOnce) {
  TakeIn("x", "bytes", "400 no");
  EXPECT_TRUE(rejected_.Remove("x"));
  EXPECT_TRUE(rejected_.Remove("x"));
  EXPECT_TRUE(List().empty());
}

}  // namespace
}  // namespace telem
