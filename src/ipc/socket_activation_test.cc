#include "ipc/socket_activation.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

#include "ipc/unix_socket.h"

namespace telem {
namespace {

// Descriptors are passed as 3, 4 and so on, so each test is a process of its own.
bool HoldsInChild(const std::vector<int>& passed, const char* names,
                  const std::function<bool()>& check) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr int kAside = 100;
    for (size_t i = 0; i < passed.size(); ++i) {
      if (::dup2(passed[i], kAside + static_cast<int>(i)) < 0) ::_exit(2);
    }
    for (size_t i = 0; i < passed.size(); ++i) {
      if (::dup2(kAside + static_cast<int>(i), 3 + static_cast<int>(i)) < 0) ::_exit(2);
    }
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", std::to_string(passed.size()).c_str(), 1);
    if (names != nullptr) ::setenv("LISTEN_FDNAMES", names, 1);
    ::_exit(check() ? 0 : 1);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class SocketActivationTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-ipc-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/socket";
    auto listener = ListenAt(path_, 0666);
    ASSERT_TRUE(listener);
    listener_ = std::move(*listener);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
  UniqueFd listener_;
};

TEST_F(SocketActivationTest, FindsNothingWhereNothingWasPassed) {
  const auto sockets = TakePassedSockets();
  ASSERT_TRUE(sockets);
  EXPECT_TRUE(sockets->empty());
}

TEST_F(SocketActivationTest, TakesSocketsWithTheirNamesAndPaths) {
  auto other = ListenAt(folder_ + "/other", 0666);
  ASSERT_TRUE(other);
  EXPECT_TRUE(HoldsInChild({listener_.get(), other->get()}, "frames:control", [&] {
    const auto sockets = TakePassedSockets();
    return sockets && sockets->size() == 2 && (*sockets)[0].name == "frames" &&
           (*sockets)[0].path == path_ && (*sockets)[0].fd.get() == 3 &&
           (*sockets)[1].name == "control" && (*sockets)[1].path == folder_ + "/other";
  }));
  EXPECT_TRUE(HoldsInChild({listener_.get()}, nullptr, [&] {
    const auto sockets = TakePassedSockets();
    return sockets && sockets->size() == 1 && (*sockets)[0].name.empty();
  }));
}

TEST_F(SocketActivationTest, TakesAnAbstractSocket) {
  const std::string name = "@telem-activation-" + std::to_string(::getpid());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  address.sun_path[0] = '\0';
  const size_t size = offsetof(sockaddr_un, sun_path) + name.size();
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)),
            0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  EXPECT_TRUE(HoldsInChild({fd.get()}, nullptr, [&] {
    const auto sockets = TakePassedSockets();
    return sockets && sockets->size() == 1 && (*sockets)[0].path == name;
  }));
}

TEST_F(SocketActivationTest, LeavesNothingForChildren) {
  EXPECT_TRUE(HoldsInChild({listener_.get()}, "frames", [] {
    const auto sockets = TakePassedSockets();
    return sockets && (::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 &&
           (::fcntl(3, F_GETFL) & O_NONBLOCK) != 0 && ::getenv("LISTEN_PID") == nullptr &&
           ::getenv("LISTEN_FDS") == nullptr && ::getenv("LISTEN_FDNAMES") == nullptr;
  }));
}

TEST_F(SocketActivationTest, LeavesAloneWhatIsForAnotherProcess) {
  EXPECT_TRUE(HoldsInChild({listener_.get()}, nullptr, [] {
    ::setenv("LISTEN_PID", "1", 1);
    const auto sockets = TakePassedSockets();
    return sockets && sockets->empty() && ::fcntl(3, F_GETFD) >= 0 &&
           ::getenv("LISTEN_FDS") == nullptr;
  }));
}

TEST_F(SocketActivationTest, RefusesWhatIsNoListeningStreamSocket) {
  const auto refuses = [] {
    const auto sockets = TakePassedSockets();
    return !sockets && sockets.error().code == ErrorCode::kInvalid;
  };
  const auto connected = ConnectTo(path_, std::chrono::seconds(1));
  const UniqueFd bound(::socket(AF_UNIX, SOCK_STREAM, 0));
  const UniqueFd datagram(::socket(AF_UNIX, SOCK_DGRAM, 0));
  const UniqueFd internet(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_TRUE(internet.valid());
  ASSERT_EQ(::listen(internet.get(), 1), 0);
  const UniqueFd file(::open("/dev/null", O_RDONLY));
  for (const int fd : {connected->get(), bound.get(), datagram.get(), internet.get(), file.get()}) {
    EXPECT_TRUE(HoldsInChild({fd}, nullptr, refuses)) << fd;
  }
  for (const char* count : {"", "x", "-1", "40", "18446744073709551615"}) {
    EXPECT_TRUE(HoldsInChild({listener_.get()}, nullptr, [&] {
      ::setenv("LISTEN_FDS", count, 1);
      return refuses();
    })) << count;
  }
}

}  // namespace
}  // namespace telem
