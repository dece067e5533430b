#include "base/sd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace telem {
namespace {

// In place of systemd: a socket that holds what it is told.
class Listener {
 public:
  // `name`: "/PATH" or "@ABSTRACT".
  explicit Listener(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const size_t size = offsetof(sockaddr_un, sun_path) + name.size();
    EXPECT_EQ(
        ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  std::string Heard() {
    char bytes[512];
    const ssize_t n = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return n > 0 ? std::string(bytes, static_cast<size_t>(n)) : "";
  }

 private:
  UniqueFd fd_;
};

class SdNotifyTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
  }

  static std::string AbstractName() { return "@telem-notify-" + std::to_string(::getpid()); }
};

TEST_F(SdNotifyTest, TellsNobodyWhereNobodyAsks) {
  SdNotify notify = SdNotify::FromEnvironment();
  EXPECT_FALSE(notify.IsAsked());
  notify.Ready();
  EXPECT_FALSE(notify.watchdog_interval());
}

TEST_F(SdNotifyTest, SpeaksToAnAbstractSocket) {
  Listener systemd(AbstractName());
  SdNotify notify = SdNotify::FromEnvironment();
  ASSERT_TRUE(notify.IsAsked());
  notify.Ready();
  EXPECT_EQ(systemd.Heard(), "READY=1");
  notify.Reloading(MonotonicTime(std::chrono::nanoseconds(1'234'567'890)));
  EXPECT_EQ(systemd.Heard(), "RELOADING=1\nMONOTONIC_USEC=1234567");
  notify.Ping();
  EXPECT_EQ(systemd.Heard(), "WATCHDOG=1");
  notify.Stopping();
  EXPECT_EQ(systemd.Heard(), "STOPPING=1");
}

TEST_F(SdNotifyTest, SpeaksToASocketFile) {
  char folder[] = "/tmp/telem-notify-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/notify";
  {
    Listener systemd(path);
    SdNotify notify = SdNotify::FromEnvironment();
    notify.Ready();
    EXPECT_EQ(systemd.Heard(), "READY=1");
  }
  ::unlink(path.c_str());
  ::rmdir(folder);
}

// What a server said may stand in the sentence.
TEST_F(SdNotifyTest, AStatusIsOneLine) {
  Listener systemd(AbstractName());
  SdNotify notify = SdNotify::FromEnvironment();
  notify.SetStatus("3 wait\nMAINPID=1\x01");
  EXPECT_EQ(systemd.Heard(), "STATUS=3 wait?MAINPID=1?");
}

TEST_F(SdNotifyTest, LeavesNothingForChildren) {
  Listener systemd(AbstractName());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  (void)SdNotify::FromEnvironment();
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  }
}

TEST_F(SdNotifyTest, PingsTwiceWithinTheTimeThatSystemdWaits) {
  Listener systemd(AbstractName());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(SdNotify::FromEnvironment().watchdog_interval(), std::chrono::seconds(15));
  ::setenv("NOTIFY_SOCKET", AbstractName().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_FALSE(SdNotify::FromEnvironment().watchdog_interval()) << "another process is meant";
}

TEST_F(SdNotifyTest, PassesOverWhatMakesNoSense) {
  for (const std::string& name : {std::string("relative"), std::string("@"), std::string("/"),
                                  "/" + std::string(200, 'x'), std::string("vsock:2:1234")}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "-1", 1);
    SdNotify notify = SdNotify::FromEnvironment();
    EXPECT_FALSE(notify.IsAsked()) << name;
    EXPECT_FALSE(notify.watchdog_interval());
  }
  Listener systemd(AbstractName());
  for (const char* usec : {"", "0", "soon", "99999999999999999999"}) {
    ::setenv("NOTIFY_SOCKET", AbstractName().c_str(), 1);
    ::setenv("WATCHDOG_USEC", usec, 1);
    EXPECT_FALSE(SdNotify::FromEnvironment().watchdog_interval()) << usec;
  }
}

}  // namespace
}  // namespace telem
