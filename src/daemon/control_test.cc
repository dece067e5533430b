#include "daemon/control.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

namespace telem {
namespace {

using std::chrono::milliseconds;

// Answers each request with one line.
class OneLine final : public ControlSession {
 public:
  void Begin(const ControlRequest& /*request*/) override {}
  bool Next(std::string& out) override {
    out += "{}\n";
    return false;
  }
};

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/telem-control-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    ASSERT_TRUE(loop_.Open());
    auto listener = ListenAt(folder_ + "/control", 0600);
    ASSERT_TRUE(listener);
    ASSERT_TRUE(control_.Listen(std::move(*listener)));
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit_), 0);
  }
  void TearDown() override {
    AllowDescriptors();
    std::filesystem::remove_all(folder_);
  }

  // None beyond those that are open now.
  void AllowNoDescriptor() {
    const UniqueFd next(::dup(STDIN_FILENO));
    rlimit none = limit_;
    none.rlim_cur = static_cast<rlim_t>(next.get());
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  void AllowDescriptors() { ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit_), 0); }

  void GoRound() {
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  }
  static std::string Received(const UniqueFd& client) {
    char bytes[64];
    const ssize_t n = ::recv(client.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return n <= 0 ? "" : std::string(bytes, static_cast<size_t>(n));
  }

  std::string folder_;
  rlimit limit_{};
  FakeClock clock_;
  EventLoop loop_{clock_};
  Control control_{loop_, {.owner = ::geteuid(), .readers = {}}, [](const Peer&) {
                     return std::make_unique<OneLine>();
                   }};
};

// A caller who could not be accepted woke the loop again and again, as fast as it goes.
TEST_F(ControlTest, WithoutADescriptorNobodyIsAcceptedForAWhile) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer itself needs a descriptor to look at memory";
#endif
  auto client = ConnectTo(folder_ + "/control", milliseconds(1000));
  ASSERT_TRUE(client);
  constexpr std::string_view kRequest = "{\"command\": \"status\"}\n";
  ASSERT_EQ(::send(client->get(), kRequest.data(), kRequest.size(), 0),
            static_cast<ssize_t>(kRequest.size()));
  AllowNoDescriptor();
  GoRound();
  AllowDescriptors();
  GoRound();
  EXPECT_EQ(Received(*client), "");
  clock_.Advance(milliseconds(100));
  GoRound();
  EXPECT_EQ(Received(*client), "{}\n");
}

}  // namespace
}  // namespace telem
