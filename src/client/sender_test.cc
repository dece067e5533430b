#include "client/sender.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "client/scripted_daemon.h"
#include "record/sample_headers.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

// For what must succeed, however slow the machine is; and for what is to be given up.
constexpr milliseconds kAmple(30'000);
constexpr milliseconds kShort(50);

class SenderTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/telem-sender-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/socket";
    open_before_ = CountOpen();
  }
  void TearDown() override {
    EXPECT_EQ(CountOpen(), open_before_) << "a descriptor was left open";
    std::filesystem::remove_all(folder_);
  }

  static size_t CountOpen() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
      ++count;
    }
    return count;
  }

  // 0, or the errno.
  int Send(milliseconds limit = kAmple) {
    const auto sent = SendFrame(path_, frame_, limit);
    return sent ? 0 : sent.error().err;
  }

  // Reads the frame and answers it.
  static ScriptedDaemon::Turn Answer(uint8_t byte) {
    return [byte](int fd) {
      ReceiveFrame(fd);
      SendByte(fd, byte);
    };
  }
  static void CloseUnanswered(int fd) { ReceiveFrame(fd); }
  static void ResetUnread(int) {}

  std::string folder_;
  std::string path_;
  std::string frame_ = EncodeFrame(SampleHeaderText(), "hello\n");
  size_t open_before_ = 0;
};

TEST_F(SenderTest, SendsTheFrameAsItIsAndTakesZeroForSuccess) {
  std::string received;
  {
    ScriptedDaemon daemon(path_, {[&](int fd) {
                            received = ReceiveFrame(fd);
                            SendByte(fd, 0);
                          }});
    EXPECT_EQ(Send(), 0);
    EXPECT_EQ(daemon.Stop(), 1u);
  }
  EXPECT_EQ(received, frame_);
}

TEST_F(SenderTest, SaysBehindTheFrameThatThisWasAll) {
  std::string behind = "nothing read";
  ScriptedDaemon daemon(path_, {[&](int fd) {
                          ReceiveFrame(fd);
                          behind = ReceiveFrame(fd);
                          SendByte(fd, 0);
                        }});
  EXPECT_EQ(Send(), 0) << "the daemon would wait for more for ever";
  EXPECT_EQ(daemon.Stop(), 1u);
  EXPECT_EQ(behind, "");
}

TEST_F(SenderTest, TurnsEachStatusByteIntoTheErrnoOfThisMachine) {
  struct Case {
    uint8_t byte;
    int err;
  };
  for (const Case& c : {Case{5, EIO}, Case{7, E2BIG}, Case{22, EINVAL}, Case{28, ENOSPC},
                        Case{111, ECONNREFUSED}, Case{122, EDQUOT}, Case{1, EIO}, Case{255, EIO}}) {
    ScriptedDaemon daemon(path_, {Answer(c.byte)});
    EXPECT_EQ(Send(), c.err) << static_cast<int>(c.byte);
    EXPECT_EQ(daemon.Stop(), 1u) << "an answer was not taken for one";
  }
}

TEST_F(SenderTest, SaysThatThereIsNoSocket) { EXPECT_EQ(Send(), ENOENT); }

TEST_F(SenderTest, SaysThatNobodyListens) {
  {
    ScriptedDaemon daemon(path_, {});
  }
  EXPECT_EQ(Send(), ECONNREFUSED);
}

TEST_F(SenderTest, SaysThatThePathIsTooLong) {
  path_ = folder_ + "/" + std::string(sizeof(sockaddr_un::sun_path), 'x');
  EXPECT_EQ(Send(), ENAMETOOLONG);
}

// A daemon killed after it has read a frame closes without an answer: 1.x took that for success.
TEST_F(SenderTest, SendsOnceMoreWhenTheConnectionEndsInPlaceOfTheAnswer) {
  std::string again;
  {
    ScriptedDaemon daemon(path_, {CloseUnanswered, [&](int fd) {
                                    again = ReceiveFrame(fd);
                                    SendByte(fd, 0);
                                  }});
    EXPECT_EQ(Send(), 0);
    EXPECT_EQ(daemon.Stop(), 2u);
  }
  EXPECT_EQ(again, frame_);
}

TEST_F(SenderTest, SendsOnceMoreAfterAReset) {
  ScriptedDaemon daemon(path_, {ResetUnread, Answer(28)});
  EXPECT_EQ(Send(), ENOSPC);
  EXPECT_EQ(daemon.Stop(), 2u);
}

TEST_F(SenderTest, GivesUpAfterTheSecondConnectionWithoutAnAnswer) {
  for (const ScriptedDaemon::Turn& turn :
       {ScriptedDaemon::Turn(CloseUnanswered), ScriptedDaemon::Turn(ResetUnread)}) {
    ScriptedDaemon daemon(path_, {turn, turn, Answer(0)});
    EXPECT_EQ(Send(), EIO);
    EXPECT_EQ(daemon.Stop(), 2u);
  }
}

// Larger than a socket's buffer, so the write itself meets the end of the connection.
TEST_F(SenderTest, RaisesNoSignalWhenTheDaemonClosesWithinALargeFrame) {
  frame_ = EncodeFrame(SampleHeaderText(), std::string(kMaxPayload, 'p'));
  ScriptedDaemon daemon(path_, {ResetUnread, ResetUnread});
  EXPECT_EQ(Send(), EIO);
}

// ENOENT would say that nobody has the record; the daemon that went away may have it.
TEST_F(SenderTest, LeavesItOpenWhenTheDaemonTookTheFrameAndWentAway) {
  ScriptedDaemon daemon(path_, {[&](int fd) {
                          ReceiveFrame(fd);
                          std::filesystem::rename(path_, path_ + ".away");
                        }});
  EXPECT_EQ(Send(), EIO);
  std::filesystem::rename(path_ + ".away", path_);
}

TEST_F(SenderTest, SendsTheLargestFrame) {
  frame_ = EncodeFrame(SampleHeaderText(), std::string(kMaxPayload, 'p'));
  std::string received;
  {
    ScriptedDaemon daemon(path_, {[&](int fd) {
                            received = ReceiveFrame(fd);
                            SendByte(fd, 0);
                          }});
    EXPECT_EQ(Send(), 0);
  }
  EXPECT_EQ(received, frame_);
}

TEST_F(SenderTest, HearsARefusalThatComesBeforeTheFrameIsRead) {
  frame_ = EncodeFrame(SampleHeaderText(), std::string(kMaxPayload, 'p'));
  ScriptedDaemon daemon(path_, {[](int fd) { SendByte(fd, 7); }});
  EXPECT_EQ(Send(), E2BIG);
  EXPECT_EQ(daemon.Stop(), 1u);
}

TEST_F(SenderTest, DoesNotWaitForADaemonThatNeverAnswers) {
  std::atomic<bool> given_up = false;
  ScriptedDaemon daemon(path_, {[&](int fd) {
                          ReceiveFrame(fd);
                          given_up.wait(false);
                        }});
  EXPECT_EQ(Send(kShort), ETIMEDOUT);
  given_up = true;
  given_up.notify_all();
  EXPECT_EQ(daemon.Stop(), 1u) << "a second attempt after the time was up";
}

TEST_F(SenderTest, DoesNotWaitForADaemonThatNeverReads) {
  frame_ = EncodeFrame(SampleHeaderText(), std::string(kMaxPayload, 'p'));
  std::atomic<bool> given_up = false;
  ScriptedDaemon daemon(path_, {[&](int) { given_up.wait(false); }});
  EXPECT_EQ(Send(kShort), ETIMEDOUT);
  given_up = true;
  given_up.notify_all();
}

TEST_F(SenderTest, DoesNotWaitForADaemonThatNeverAccepts) {
  const auto listener = ListenAt(path_, 0600);
  ASSERT_TRUE(listener);
  EXPECT_EQ(Send(kShort), ETIMEDOUT);
}

// Connects until the backlog of `listener` is full.
std::vector<UniqueFd> FillBacklog(int listener, const std::string& path) {
  EXPECT_EQ(::listen(listener, 2), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  std::vector<UniqueFd> waiting;
  while (true) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      EXPECT_EQ(errno, EAGAIN);
      return waiting;
    }
    waiting.push_back(std::move(fd));
  }
}

TEST_F(SenderTest, DoesNotWaitForAFullBacklog) {
  const auto listener = ListenAt(path_, 0600);
  ASSERT_TRUE(listener);
  const auto waiting = FillBacklog(listener->get(), path_);
  EXPECT_EQ(Send(kShort), ETIMEDOUT);
}

// Waits until the thread sleeps in the kernel.
void WaitUntilAsleep(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (std::string state; state != "S";) {
    std::string skipped;
    std::ifstream(path) >> skipped >> skipped >> state;
    std::this_thread::yield();
  }
}

class BlockedSenderTest : public SenderTest {
 protected:
  // Sends on a thread of its own and returns when that waits in the kernel.
  void StartAndWaitUntilAsleep() {
    thread_ = std::thread([this] {
      id_ = ::gettid();
      id_.notify_all();
      result_ = Send();
    });
    id_.wait(0);
    WaitUntilAsleep(id_);
  }
  int Finish() {
    thread_.join();
    return result_;
  }

  std::thread thread_;
  std::atomic<pid_t> id_ = 0;
  int result_ = -1;
};

TEST_F(BlockedSenderTest, IsServedOnceABacklogIsNoLongerFull) {
  const auto listener = ListenAt(path_, 0600);
  ASSERT_TRUE(listener);
  auto waiting = FillBacklog(listener->get(), path_);
  StartAndWaitUntilAsleep();
  // Those before us in the queue close; what comes behind them is the sender.
  for (size_t i = 0; i < waiting.size(); ++i) {
    const UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  ::fcntl(listener->get(), F_SETFL, O_RDWR);
  const UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(ReceiveFrame(fd.get()), frame_);
  SendByte(fd.get(), 0);
  EXPECT_EQ(Finish(), 0);
}

TEST_F(BlockedSenderTest, GoesOnAfterASignal) {
  struct sigaction action{};
  struct sigaction before{};
  static std::atomic<int> signals;
  signals = 0;
  action.sa_handler = [](int) { ++signals; };
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  const auto listener = ListenAt(path_, 0600);
  ASSERT_TRUE(listener);
  auto waiting = FillBacklog(listener->get(), path_);
  StartAndWaitUntilAsleep();
  ASSERT_EQ(::pthread_kill(thread_.native_handle(), SIGUSR1), 0);
  while (signals == 0) std::this_thread::yield();
  WaitUntilAsleep(id_);
  for (size_t i = 0; i < waiting.size(); ++i) {
    const UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  ::fcntl(listener->get(), F_SETFL, O_RDWR);
  const UniqueFd fd(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(ReceiveFrame(fd.get()), frame_);
  // Now it waits for the answer.
  WaitUntilAsleep(id_);
  ASSERT_EQ(::pthread_kill(thread_.native_handle(), SIGUSR1), 0);
  while (signals == 1) std::this_thread::yield();
  SendByte(fd.get(), 0);
  EXPECT_EQ(Finish(), 0);
  ::sigaction(SIGUSR1, &before, nullptr);
}

// Threads that wait beside others stay awake for a while, but not for long.
TEST_F(BlockedSenderTest, SleepsBesideAnotherThreadThatWaits) {
  std::atomic<bool> may_answer = false;
  const auto answer = [&](int fd) {
    ReceiveFrame(fd);
    may_answer.wait(false);
    SendByte(fd, 0);
  };
  ScriptedDaemon daemon(path_, {answer, answer});
  std::atomic<pid_t> other_id = 0;
  int other_result = -1;
  std::thread other([&] {
    other_id = ::gettid();
    other_id.notify_all();
    other_result = Send();
  });
  StartAndWaitUntilAsleep();
  other_id.wait(0);
  WaitUntilAsleep(other_id);
  may_answer = true;
  may_answer.notify_all();
  EXPECT_EQ(Finish(), 0);
  other.join();
  EXPECT_EQ(other_result, 0);
  EXPECT_EQ(daemon.Stop(), 2u);
}

TEST_F(SenderTest, KeepsItsDescriptorFromChildren) {
  size_t sockets = 0;
  ScriptedDaemon daemon(path_, {[&](int fd) {
                          ReceiveFrame(fd);
                          for (int open = 0; open < 1024; ++open) {
                            struct stat st;
                            if (::fstat(open, &st) != 0 || !S_ISSOCK(st.st_mode)) continue;
                            if (open <= STDERR_FILENO) continue;
                            ++sockets;
                            EXPECT_EQ(::fcntl(open, F_GETFD), FD_CLOEXEC) << open;
                          }
                          SendByte(fd, 0);
                        }});
  EXPECT_EQ(Send(), 0);
  daemon.Stop();
  EXPECT_GE(sockets, 3u);  // the listener and both ends of the connection
}

}  // namespace
}  // namespace telem
