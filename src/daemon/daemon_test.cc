#include "daemon/daemon.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "ipc/unix_socket.h"
#include "record/record_id.h"
#include "record/sample_headers.h"
#include "store/spool.h"

namespace telem {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

// telemd as it is, on sockets that somebody else made, with a clock that the test moves.
class DaemonTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto user = FindUserToBecome();
    if (!user || *user) GTEST_SKIP() << "this process would become telemetry for good";
    char path[] = "/tmp/telem-daemon-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    settings_.config_dir = folder_ + "/etc";
    settings_.spool_dir = folder_ + "/spool";
    settings_.state_dir = folder_ + "/state";
    settings_.log_dir = folder_ + "/log";
    settings_.socket_path = folder_ + "/frames";
    settings_.control_path = folder_ + "/control";
    sigset_t handled;
    sigemptyset(&handled);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&handled, signal);
    ::sigprocmask(SIG_BLOCK, &handled, &former_signals_);
  }
  void TearDown() override {
    daemon_.reset();
    ::sigprocmask(SIG_SETMASK, &former_signals_, nullptr);
    std::filesystem::remove_all(folder_);
  }

  void Start(bool is_activated) {
    Daemon::Surroundings surroundings{.config_file = "", .deliver_program = "/nonexistent"};
    if (is_activated) {
      auto listener = ListenAt(settings_.socket_path, 0600);
      ASSERT_TRUE(listener);
      surroundings.sockets.push_back({std::move(*listener), "", settings_.socket_path});
    }
    daemon_.emplace(clock_, settings_, std::move(surroundings));
    ASSERT_TRUE(daemon_->Open());
    GoRound();
  }

  // What is due now happens.
  void GoRound() {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(daemon_->RunOnce(milliseconds(0)));
  }

  void PassTime(minutes time) {
    for (minutes passed{}; passed < time; passed += minutes(10)) {
      clock_.Advance(minutes(10));
      GoRound();
    }
  }

  FakeClock clock_;
  std::string folder_;
  Settings settings_;
  std::optional<Daemon> daemon_;
  sigset_t former_signals_{};
};

TEST_F(DaemonTest, EndsAfterTwoIdleHoursWhereItIsStartedAgainWhenThereIsWork) {
  Start(true);
  PassTime(minutes(110));
  EXPECT_FALSE(daemon_->is_ending());
  PassTime(minutes(70));
  EXPECT_TRUE(daemon_->is_ending());
}

TEST_F(DaemonTest, DoesNotEndByItselfWhereNobodyWouldStartItAgain) {
  Start(false);
  PassTime(hours(5));
  EXPECT_FALSE(daemon_->is_ending());
}

TEST_F(DaemonTest, DoesNotEndByItselfWhereThatIsSwitchedOff) {
  settings_.daemon_recycling_enabled = false;
  Start(true);
  PassTime(hours(5));
  EXPECT_FALSE(daemon_->is_ending());
}

TEST_F(DaemonTest, DoesNotEndWhileARecordWaits) {
  settings_.server = "http://server.invalid/";
  std::filesystem::create_directory(settings_.spool_dir);
  {
    auto spool = Spool::Open(clock_, settings_.spool_dir, folder_ + "/rejected");
    ASSERT_TRUE(spool);
    const SpoolFileName name{MakeRecordId(clock_.Now()), ::getuid(), 1};
    ASSERT_TRUE(spool->Put(name, 1, SampleHeaderText(), "p"));
  }
  Start(true);
  PassTime(hours(5));
  EXPECT_FALSE(daemon_->is_ending());
}

TEST_F(DaemonTest, DoesNotEndWhileAClientIsConnected) {
  Start(true);
  auto client = ConnectTo(settings_.socket_path, milliseconds(1000));
  ASSERT_TRUE(client);
  GoRound();
  PassTime(hours(5));
  EXPECT_FALSE(daemon_->is_ending());
  client->Reset();
  GoRound();
  EXPECT_TRUE(daemon_->is_ending());
}

}  // namespace
}  // namespace telem
