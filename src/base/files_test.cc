#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace telem {
namespace {

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-files-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(FilesTest, ReplacesAFileWholeAndReadsItBack) {
  const std::string path = folder_ + "/f";
  ASSERT_TRUE(ReplaceFile(path, "one", 0600));
  ASSERT_TRUE(ReplaceFile(path, std::string(100'000, 'x'), 0600));
  const auto bytes = ReadFile(path, 100'000);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->size(), 100'000u);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(FilesTest, RefusesAFileAboveTheLimit) {
  const std::string path = folder_ + "/f";
  ASSERT_TRUE(ReplaceFile(path, "12345", 0600));
  const auto bytes = ReadFile(path, 4);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::kTooLarge);
}

TEST_F(FilesTest, ReadsFilesThatTellNoSize) {
  const auto bytes = ReadFile("/proc/self/status", 1 << 20);
  ASSERT_TRUE(bytes);
  EXPECT_NE(bytes->find("Pid:"), std::string::npos);
}

TEST_F(FilesTest, SaysWhichFileIsMissing) {
  const auto bytes = ReadFile(folder_ + "/none", 10);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(bytes.error().message, "open '" + folder_ + "/none': No such file or directory");
}

TEST_F(FilesTest, LeavesTheOldFileWhenItCannotReplaceIt) {
  const std::string path = folder_ + "/sub";
  ASSERT_TRUE(EnsureFolder(path + "/inner", 0700));
  EXPECT_FALSE(ReplaceFile(path, "x", 0600));
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(FilesTest, MakesFoldersWithTheModeOfTheLast) {
  ASSERT_TRUE(EnsureFolder(folder_ + "/a/b", 0700));
  ASSERT_TRUE(EnsureFolder(folder_ + "/a/b", 0700));
  struct stat st;
  ASSERT_EQ(::stat((folder_ + "/a/b").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  ASSERT_TRUE(ReplaceFile(folder_ + "/f", "", 0600));
  EXPECT_FALSE(EnsureFolder(folder_ + "/f/x", 0700));
}

}  // namespace
}  // namespace telem
