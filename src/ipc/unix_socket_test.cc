#include "ipc/unix_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace telem {
namespace {

using std::chrono::milliseconds;

class UnixSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-ipc-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/socket";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(UnixSocketTest, ConnectsAndTellsWhoConnected) {
  const auto listener = ListenAt(path_, 0666);
  ASSERT_TRUE(listener) << listener.error().message;
  const auto client = ConnectTo(path_, milliseconds(1000));
  ASSERT_TRUE(client);
  const UniqueFd accepted(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  const auto peer = PeerOf(accepted.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->uid, ::getuid());
  EXPECT_EQ(peer->pid, ::getpid());
}

TEST_F(UnixSocketTest, ConnectsWithoutWaitingAndTellsWhoListened) {
  EXPECT_EQ(ConnectWithoutWaiting(path_).error().code, ErrorCode::kNotFound);
  auto listener = ListenAt(path_, 0666);
  ASSERT_TRUE(listener) << listener.error().message;
  const auto client = ConnectWithoutWaiting(path_);
  ASSERT_TRUE(client);
  const auto peer = PeerOf(client->get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->uid, ::getuid());
  EXPECT_EQ(peer->pid, ::getpid());
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  const auto second = ConnectWithoutWaiting(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  listener->Reset();
  EXPECT_EQ(ConnectWithoutWaiting(path_).error().code, ErrorCode::kUnavailable);
}

TEST_F(UnixSocketTest, ReplacesASocketFileThatNobodyListensOn) {
  {
    ASSERT_TRUE(ListenAt(path_, 0666));
  }
  ASSERT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(ListenAt(path_, 0666));
}

TEST_F(UnixSocketTest, LeavesTheSocketOfARunningDaemonAlone) {
  const auto first = ListenAt(path_, 0666);
  ASSERT_TRUE(first);
  const auto second = ListenAt(path_, 0666);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(ConnectTo(path_, milliseconds(1000)));
}

TEST_F(UnixSocketTest, NeverReplacesAnOrdinaryFile) {
  {
    const UniqueFd file(::creat(path_.c_str(), 0600));
  }
  EXPECT_FALSE(ListenAt(path_, 0666));
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(UnixSocketTest, SaysThatNobodyIsThere) {
  const auto client = ConnectTo(path_, milliseconds(100));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().err, ENOENT);
  EXPECT_FALSE(ConnectTo(std::string(200, 'x'), milliseconds(100)));
}

}  // namespace
}  // namespace telem
