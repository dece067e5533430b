#include "base/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <vector>

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    near.Reset(fds[0]);
    far.Reset(fds[1]);
  }
  UniqueFd near, far;
};

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(loop_.Open()); }

  FakeClock clock_;
  EventLoop loop_{clock_};
};

struct Recorder final : EventLoop::Handler {
  void OnEvents(uint32_t events) override {
    seen |= events;
    if (then) then();
  }
  uint32_t seen = 0;
  std::function<void()> then;
};

TEST_F(EventLoopTest, TellsThatBytesAreThere) {
  Pipe pipe;
  Recorder recorder;
  ASSERT_TRUE(loop_.Watch(pipe.near.get(), EPOLLIN, &recorder));
  ASSERT_EQ(::send(pipe.far.get(), "x", 1, 0), 1);
  ASSERT_TRUE(loop_.RunOnce(seconds(5)));
  EXPECT_TRUE(recorder.seen & EPOLLIN);
}

TEST_F(EventLoopTest, DeliversNothingToAHandlerForgottenInTheSameRound) {
  Pipe first, second;
  Recorder a, b;
  a.then = [&] { loop_.Forget(second.near.get(), &b); };
  b.then = [&] { loop_.Forget(first.near.get(), &a); };
  ASSERT_TRUE(loop_.Watch(first.near.get(), EPOLLIN, &a));
  ASSERT_TRUE(loop_.Watch(second.near.get(), EPOLLIN, &b));
  ASSERT_EQ(::send(first.far.get(), "x", 1, 0), 1);
  ASSERT_EQ(::send(second.far.get(), "x", 1, 0), 1);
  ASSERT_TRUE(loop_.RunOnce(seconds(5)));
  EXPECT_NE(a.seen == 0, b.seen == 0);
}

TEST_F(EventLoopTest, CallsTheFirstHandlerBeforeOthersThatWereReadyEarlier) {
  Pipe early, late;
  Recorder other, first;
  other.then = [&] { EXPECT_TRUE(first.seen & EPOLLIN); };
  ASSERT_TRUE(loop_.Watch(early.near.get(), EPOLLIN, &other));
  ASSERT_TRUE(loop_.WatchFirst(late.near.get(), &first));
  ASSERT_EQ(::send(early.far.get(), "x", 1, 0), 1);
  ASSERT_EQ(::send(late.far.get(), "x", 1, 0), 1);
  ASSERT_TRUE(loop_.RunOnce(seconds(5)));
  EXPECT_TRUE(other.seen & EPOLLIN);
}

// What is ready behind the sixty-four that a round takes could be what should have come first.
TEST_F(EventLoopTest, CallsTheFirstHandlerInEveryRoundThatIsFull) {
  Pipe quiet;
  std::vector<Pipe> pipes(64);
  std::vector<Recorder> others(64);
  Recorder first;
  ASSERT_TRUE(loop_.WatchFirst(quiet.near.get(), &first));
  for (size_t i = 0; i < pipes.size(); ++i) {
    ASSERT_TRUE(loop_.Watch(pipes[i].near.get(), EPOLLIN, &others[i]));
    ASSERT_EQ(::send(pipes[i].far.get(), "x", 1, 0), 1);
  }
  ASSERT_TRUE(loop_.RunOnce(seconds(5)));
  EXPECT_TRUE(first.seen & EPOLLIN);
}

TEST_F(EventLoopTest, CallsATimerOnceWhenItsTimeHasCome) {
  int calls = 0;
  Timer timer(loop_, [&] { ++calls; });
  timer.SetAfter(seconds(10));
  ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 0);
  clock_.Advance(seconds(10));
  ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(timer.IsSet());
}

TEST_F(EventLoopTest, LetsATimerDestroyItselfAndOthers) {
  auto second = std::make_unique<Timer>(loop_, [] { FAIL() << "was destroyed before its time"; });
  std::unique_ptr<Timer> first;
  first = std::make_unique<Timer>(loop_, [&] {
    second.reset();
    first.reset();
  });
  first->SetAfter(seconds(0));
  second->SetAfter(seconds(1));
  ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  clock_.Advance(seconds(2));
  ASSERT_TRUE(loop_.RunOnce(milliseconds(0)));
  EXPECT_EQ(first, nullptr);
}

TEST_F(EventLoopTest, CallsAfterEachRound) {
  int rounds = 0;
  loop_.SetAfterRound([&] {
    if (++rounds == 3) loop_.Stop();
  });
  Timer timer(loop_, [] {});
  Pipe pipe;
  Recorder recorder;
  ASSERT_TRUE(loop_.Watch(pipe.near.get(), EPOLLIN, &recorder));
  ASSERT_EQ(::send(pipe.far.get(), "x", 1, 0), 1);
  ASSERT_TRUE(loop_.Run());
  EXPECT_EQ(rounds, 3);
}

}  // namespace
}  // namespace telem
