#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/record_text.h"
#include "client/scripted_daemon.h"
#include "record/headers.h"
#include "record/spool_file.h"
#include "telemetry.h"

namespace telem {
namespace {

constexpr char kClass[] = "org.example/test/one";

class CApiTest : public testing::Test {
 protected:
  // Each test has a file of its own, for a process reads each file once.
  void SetUp() override {
    char folder[] = "/tmp/telem-c-api-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    config_ = folder_ + "/telemetrics.conf";
    Configure("");
  }
  void TearDown() override {
    tm_free_record(ref_);
    std::filesystem::remove_all(folder_);
  }

  void Configure(const std::string& more) {
    std::ofstream(config_) << "[settings]\nsocket_path = " << Socket()
                           << "\nconfig_dir = " << folder_ << "\n"
                           << more;
  }
  void Use() { ASSERT_EQ(tm_set_config_file(config_.c_str()), 0); }
  std::string Socket() const { return folder_ + "/socket"; }
  void Mark(const char* name) { std::ofstream(folder_ + "/" + name) << ""; }

  void Create(uint32_t severity = 1) { ASSERT_EQ(tm_create_record(&ref_, severity, kClass, 1), 0); }

  static std::string HeaderOf(const telem_ref& ref, Header header) {
    const std::string text = TextOf(ref);
    return std::string(ParseSpoolFile(text).value().headers[header]);
  }

  static ScriptedDaemon::Turn Answer(uint8_t byte) {
    return [byte](int fd) {
      ReceiveFrame(fd);
      SendByte(fd, byte);
    };
  }

  std::string folder_;
  std::string config_;
  telem_ref* ref_ = nullptr;
};

TEST_F(CApiTest, RefusesNullEverywhere) {
  Create();
  EXPECT_EQ(tm_set_config_file(nullptr), -EINVAL);
  EXPECT_EQ(tm_create_record(nullptr, 1, kClass, 1), -EINVAL);
  telem_ref* untouched = ref_;
  EXPECT_EQ(tm_create_record(&untouched, 1, nullptr, 1), -EINVAL);
  EXPECT_EQ(untouched, ref_);
  EXPECT_EQ(tm_set_event_id(nullptr, "0123456789abcdef0123456789abcdef"), -EINVAL);
  EXPECT_EQ(tm_set_event_id(ref_, nullptr), -EINVAL);
  EXPECT_EQ(tm_set_payload(nullptr, "p"), -EINVAL);
  EXPECT_EQ(tm_set_payload(ref_, nullptr), -EINVAL);
  EXPECT_EQ(tm_send_record(nullptr), -EINVAL);
  telem_ref empty{nullptr};
  EXPECT_EQ(tm_set_payload(&empty, "p"), -EINVAL);
  EXPECT_EQ(tm_set_event_id(&empty, "0123456789abcdef0123456789abcdef"), -EINVAL);
  EXPECT_EQ(tm_send_record(&empty), -EINVAL);
  tm_free_record(nullptr);
}

TEST_F(CApiTest, LeavesItsOutputAloneWhenTheClassificationIsBad) {
  for (const std::string& bad : {std::string("a/b"), std::string("a/b/c/d"), std::string("/b/c"),
                                 std::string(1'000'000, 'a')}) {
    telem_ref* untouched = nullptr;
    EXPECT_EQ(tm_create_record(&untouched, 1, bad.c_str(), 1), -EINVAL);
    EXPECT_EQ(untouched, nullptr);
  }
}

TEST_F(CApiTest, ClampsTheSeverity) {
  Create(77);
  EXPECT_EQ(HeaderOf(*ref_, Header::kSeverity), "4");
}

TEST_F(CApiTest, CopiesThePayload) {
  Create();
  std::string payload = "first";
  ASSERT_EQ(tm_set_payload(ref_, payload.c_str()), 0);
  payload = "other";
  EXPECT_TRUE(TextOf(*ref_).ends_with("\nfirst\n"));
  ASSERT_EQ(tm_set_payload(ref_, payload.c_str()), 0);
  EXPECT_TRUE(TextOf(*ref_).ends_with("\nother\n"));
}

TEST_F(CApiTest, TakesAPayloadUpTo256KiB) {
  Create();
  EXPECT_EQ(tm_set_payload(ref_, std::string(kMaxPayload, 'p').c_str()), 0);
  EXPECT_EQ(tm_set_payload(ref_, std::string(kMaxPayload + 1, 'q').c_str()), -EINVAL);
  EXPECT_TRUE(TextOf(*ref_).ends_with("p\n"));
}

TEST_F(CApiTest, TakesAnEventIdOf32LowerCaseHexDigits) {
  Create();
  EXPECT_EQ(tm_set_event_id(ref_, "0123456789abcdef0123456789abcdef"), 0);
  EXPECT_EQ(tm_set_event_id(ref_, "0123456789ABCDEF0123456789ABCDEF"), -EINVAL);
  EXPECT_EQ(tm_set_event_id(ref_, "0123456789abcdef0123456789abcdef0"), -EINVAL);
  EXPECT_EQ(tm_set_event_id(ref_, ""), -EINVAL);
  EXPECT_EQ(HeaderOf(*ref_, Header::kEventId), "0123456789abcdef0123456789abcdef");
}

TEST_F(CApiTest, SendsARecordAndSendsItAgain) {
  Use();
  Create();
  ASSERT_EQ(tm_set_payload(ref_, "hello\n"), 0);
  ScriptedDaemon daemon(Socket(), {Answer(28), Answer(0)});
  EXPECT_EQ(tm_send_record(ref_), -ENOSPC);
  EXPECT_EQ(tm_send_record(ref_), 0);
}

TEST_F(CApiTest, ConnectsNowhereWhenTheUserHasOptedOut) {
  Use();
  Create();
  ScriptedDaemon daemon(Socket(), {});
  Mark("opt-out");
  EXPECT_EQ(tm_is_opted_in(), 0);
  EXPECT_EQ(tm_send_record(ref_), -ECONNREFUSED);
  EXPECT_EQ(daemon.Stop(), 0u);
  std::filesystem::remove(folder_ + "/opt-out");
  EXPECT_EQ(tm_is_opted_in(), 1);
}

TEST_F(CApiTest, AsksForConsentFirstWhereTheConfigurationSaysSo) {
  Configure("consent = opt-in\n");
  Use();
  EXPECT_EQ(tm_is_opted_in(), 0);
  Mark("opt-in");
  EXPECT_EQ(tm_is_opted_in(), 1);
}

TEST_F(CApiTest, TakesOnlyAbsolutePathsOfFilesForItsConfiguration) {
  Use();
  EXPECT_EQ(tm_set_config_file("telemetrics.conf"), -EINVAL);
  EXPECT_EQ(tm_set_config_file(""), -EINVAL);
  EXPECT_EQ(tm_set_config_file(folder_.c_str()), -EINVAL);
  EXPECT_EQ(tm_set_config_file("/dev/null"), -EINVAL);
  EXPECT_EQ(tm_set_config_file((folder_ + "/missing").c_str()), -ENOENT);
  EXPECT_EQ(tm_set_config_file((config_ + "/x").c_str()), -ENOENT);
  // What was chosen before still holds.
  Create();
  ScriptedDaemon daemon(Socket(), {Answer(0)});
  EXPECT_EQ(tm_send_record(ref_), 0);
}

// A bad boolean ended the host program from inside of 1.x.
TEST_F(CApiTest, PassesOverMistakesInTheConfiguration) {
  Configure("rate_limit_enabled = maybe\nno line of ours\n[other]\nspool_max_size = abc\n");
  Use();
  Create();
  ScriptedDaemon daemon(Socket(), {Answer(0)});
  EXPECT_EQ(tm_send_record(ref_), 0);
}

TEST_F(CApiTest, FollowsTheFileChosenLast) {
  Use();
  const std::string other = folder_ + "/other.conf";
  std::ofstream(other) << "[settings]\nconfig_dir = " << folder_ << "/other\n";
  Mark("opt-out");
  EXPECT_EQ(tm_is_opted_in(), 0);
  EXPECT_EQ(tm_set_config_file(other.c_str()), 0);
  EXPECT_EQ(tm_is_opted_in(), 1);
  Use();
  EXPECT_EQ(tm_is_opted_in(), 0);
}

// Randomness kept ready in the process would come twice, once on each side of a fork.
TEST_F(CApiTest, GivesParentAndChildDifferentEventIds) {
  Create();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    telem_ref* ref = nullptr;
    if (tm_create_record(&ref, 1, kClass, 1) != 0) ::_exit(1);
    const std::string id = HeaderOf(*ref, Header::kEventId);
    const bool written = ::write(ends[1], id.data(), id.size()) == static_cast<ssize_t>(id.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  telem_ref* ref = nullptr;
  ASSERT_EQ(tm_create_record(&ref, 1, kClass, 1), 0);
  char id[33] = {};
  EXPECT_EQ(::read(ends[0], id, 32), 32);
  ::close(ends[0]);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_NE(HeaderOf(*ref, Header::kEventId), id);
  tm_free_record(ref);
}

TEST_F(CApiTest, ServesManyThreadsAtOnce) {
  constexpr size_t kThreads = 4;
  constexpr size_t kEach = 25;
  Use();
  std::set<std::string> frames;
  std::vector<ScriptedDaemon::Turn> turns(kThreads * kEach, [&](int fd) {
    frames.insert(ReceiveFrame(fd));
    SendByte(fd, 0);
  });
  ScriptedDaemon daemon(Socket(), turns);
  std::atomic<size_t> sent = 0;
  std::vector<std::thread> threads(kThreads);
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      for (size_t k = 0; k < kEach; ++k) {
        telem_ref* ref = nullptr;
        if (tm_create_record(&ref, 1, kClass, 1) != 0) continue;
        if (tm_set_payload(ref, "hello\n") == 0 && tm_send_record(ref) == 0) ++sent;
        tm_free_record(ref);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  daemon.Stop();
  EXPECT_EQ(sent, kThreads * kEach);
  EXPECT_EQ(frames.size(), kThreads * kEach);  // each with its event id
}

// The unwinding of a cancelled thread must not meet our `noexcept`: that would end the host.
TEST_F(CApiTest, LetsAThreadBeCancelledOnlyBehindTheCall) {
  Use();
  struct Shared {
    telem_ref* ref;
    std::atomic<int> result = 1;
  } shared{};
  ASSERT_EQ(tm_create_record(&shared.ref, 1, kClass, 1), 0);
  pthread_t thread{};
  ScriptedDaemon daemon(Socket(), {[&](int fd) {
                          ReceiveFrame(fd);
                          EXPECT_EQ(::pthread_cancel(thread), 0);
                          SendByte(fd, 0);
                        }});
  const auto run = [](void* arg) -> void* {
    auto* own = static_cast<Shared*>(arg);
    own->result = tm_send_record(own->ref);
    ::pthread_testcancel();
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, nullptr, run, &shared), 0);
  void* end = nullptr;
  ASSERT_EQ(::pthread_join(thread, &end), 0);
  EXPECT_EQ(shared.result, 0);
  EXPECT_EQ(end, PTHREAD_CANCELED);
  tm_free_record(shared.ref);
}

}  // namespace
}  // namespace telem
