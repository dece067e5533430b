#include "store/spool_syncer.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "base/files.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

bool IsReadableWithin(int fd, int milliseconds) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, milliseconds) == 1;
}

TEST(SpoolSyncerTest, TellsWhenWhatLiesThereIsSafe) {
  const TestFolder folder;
  const auto fd = OpenFolder(folder.path());
  ASSERT_TRUE(fd);
  SpoolSyncer syncer(fd->get(), fd->get());
  ASSERT_TRUE(syncer.Open());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(syncer.IsBusy());
    ASSERT_TRUE(syncer.Start());
    EXPECT_TRUE(syncer.IsBusy());
    ASSERT_TRUE(IsReadableWithin(syncer.done_fd(), 30'000));
    EXPECT_TRUE(syncer.TakeResult());
  }
  EXPECT_FALSE(IsReadableWithin(syncer.done_fd(), 0));
}

TEST(SpoolSyncerTest, TellsThatItFailed) {
  SpoolSyncer syncer(-1, -1);
  ASSERT_TRUE(syncer.Open());
  ASSERT_TRUE(syncer.Start());
  ASSERT_TRUE(IsReadableWithin(syncer.done_fd(), 30'000));
  EXPECT_FALSE(syncer.TakeResult());
}

TEST(SpoolSyncerTest, SyncsTheJournalOnAnotherFileSystemToo) {
  const TestFolder folder;
  const auto fd = OpenFolder(folder.path());
  ASSERT_TRUE(fd);
  EXPECT_TRUE(SpoolSyncer(fd->get(), fd->get()).Sync());
  EXPECT_FALSE(SpoolSyncer(fd->get(), -1).Sync());
}

TEST(SpoolSyncerTest, EndsWithASyncUnderWay) {
  const TestFolder folder;
  const auto fd = OpenFolder(folder.path());
  ASSERT_TRUE(fd);
  SpoolSyncer syncer(fd->get(), fd->get());
  ASSERT_TRUE(syncer.Open());
  ASSERT_TRUE(syncer.Start());
}

}  // namespace
}  // namespace telem
