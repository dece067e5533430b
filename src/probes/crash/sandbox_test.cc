// What a child of the sandbox can still do, tried from the inside.
#include "probes/crash/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

namespace telem {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::ElementsAre;

UniqueFd NoFile(std::string_view /*request*/) { return UniqueFd(); }

SandboxOutcome RunIn(const std::function<void(SandboxLink&)>& work, SandboxLimits limits = {},
                     const std::vector<int>& kept = {}) {
  Sandbox sandbox;
  const SystemClock clock;
  EXPECT_TRUE(sandbox.Start(limits, kept, work).has_value());
  return sandbox.Wait(clock, NoFile);
}

// Emits "done" when `attempt` came through, else "refused".
void Try(SandboxLink& link, const std::function<bool()>& attempt) {
  link.Emit(attempt() ? "done" : "refused");
}

void ExpectRefused(const std::function<bool()>& attempt, const std::vector<int>& kept = {}) {
  const SandboxOutcome outcome = RunIn([&](SandboxLink& link) { Try(link, attempt); }, {}, kept);
  EXPECT_EQ(outcome.end, SandboxEnd::kDone);
  EXPECT_THAT(outcome.texts, ElementsAre("refused"));
}

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "AddressSanitizer makes system calls and takes memory that the sandbox refuses";
#endif
  }
};

TEST_F(SandboxTest, HandsTextsOverInOrder) {
  const std::string large(100'000, 'x');
  const SandboxOutcome outcome = RunIn([&](SandboxLink& link) {
    link.Emit("first");
    link.Emit("");
    link.Emit(large);
  });
  EXPECT_EQ(outcome.end, SandboxEnd::kDone);
  EXPECT_THAT(outcome.texts, ElementsAre("first", "", large));
}

TEST_F(SandboxTest, OpensNothing) {
  ExpectRefused([] { return ::open("/dev/null", O_RDONLY) >= 0; });
  ExpectRefused([] { return ::open("new", O_CREAT | O_RDWR, 0600) >= 0; });
  ExpectRefused([] { return ::syscall(SYS_openat2, AT_FDCWD, "/", nullptr, 0) >= 0; });
#ifdef SYS_open  // aarch64 has none
  ExpectRefused([] { return ::syscall(SYS_open, "/etc/passwd", O_RDONLY) >= 0; });
#endif
  ExpectRefused([] { return ::memfd_create("x", 0) >= 0; });
  ExpectRefused([] { return ::unlink("/tmp/x") == 0 || errno != EPERM; });
}

TEST_F(SandboxTest, ConnectsToNothing) {
  ExpectRefused([] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; });
  ExpectRefused([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0; });
  ExpectRefused([] {
    std::array<int, 2> pair{};
    return ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0;
  });
}

TEST_F(SandboxTest, SignalsAndTracesNobody) {
  const pid_t parent = ::getpid();
  ExpectRefused([parent] { return ::kill(parent, 0) == 0; });
  ExpectRefused([parent] { return ::syscall(SYS_tgkill, parent, parent, 0) == 0; });
  ExpectRefused([parent] { return ::ptrace(PTRACE_SEIZE, parent, nullptr, nullptr) == 0; });
  ExpectRefused([parent] { return ::syscall(SYS_pidfd_open, parent, 0) >= 0; });
  ExpectRefused([parent] {
    int word = 0;
    iovec ours{&word, sizeof(word)};
    return ::process_vm_readv(parent, &ours, 1, &ours, 1, 0) >= 0;
  });
}

TEST_F(SandboxTest, StartsNothing) {
  ExpectRefused([] { return ::fork() >= 0; });
  ExpectRefused([] {
    ::execl("/bin/true", "true", nullptr);
    return errno != EPERM;
  });
  ExpectRefused([] {
    return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
  });
}

// It counts as a file's: gigabytes of it went unseen.
TEST_F(SandboxTest, HasNoMemoryThatIsShared) {
  for (const int kind : {MAP_SHARED, MAP_SHARED_VALIDATE}) {
    ExpectRefused([kind] {
      return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0) !=
             MAP_FAILED;
    });
  }
}

TEST_F(SandboxTest, WritesToNoMemoryThatItMayRead) {
  static int victim = 42;
  const UniqueFd memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(memory.valid());
  const int fd = memory.get();
  ExpectRefused(
      [fd] {
        const int wrong = 43;
        const auto place = static_cast<off_t>(reinterpret_cast<uintptr_t>(&victim));
        ::lseek(fd, place, SEEK_SET);
        return ::pwrite(fd, &wrong, sizeof(wrong), place) > 0 ||
               ::write(fd, &wrong, sizeof(wrong)) > 0;
      },
      {fd});
  EXPECT_EQ(victim, 42);
}

TEST_F(SandboxTest, KeepsOnlyTheDescriptorsItIsGiven) {
  const UniqueFd kept(::open("/dev/null", O_RDONLY));
  const UniqueFd other(::open("/dev/null", O_RDONLY));
  const SandboxOutcome outcome = RunIn(
      [&](SandboxLink& link) {
        std::string open;
        for (int fd = 0; fd < 1024; ++fd) {
          if (::fcntl(fd, F_GETFD) >= 0) open += fd == kept.get() ? 'k' : 'l';  // l: the link
        }
        link.Emit(open);
      },
      {}, {kept.get()});
  EXPECT_THAT(outcome.texts, ElementsAre("kl"));
}

TEST_F(SandboxTest, TurnsRootIntoNobodyWithoutFiles) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has rights to lose";
  ExpectRefused([] {
    struct stat st;
    return ::syscall(SYS_newfstatat, AT_FDCWD, "/etc", &st, AT_EMPTY_PATH) == 0;
  });
}

TEST_F(SandboxTest, IsOverWhenItTakesTooLong) {
  SandboxLimits limits;
  limits.time = milliseconds(100);
  const SandboxOutcome outcome = RunIn(
      [](SandboxLink& link) {
        link.Emit("so far");
        for (;;) asm volatile("");
      },
      limits);
  EXPECT_EQ(outcome.end, SandboxEnd::kTooLong);
  EXPECT_THAT(outcome.texts, ElementsAre("so far"));
}

TEST_F(SandboxTest, IsOverWhenItTakesTooMuchMemory) {
  SandboxLimits limits;
  limits.memory = size_t{32} * 1024 * 1024;
  const SandboxOutcome outcome = RunIn(
      [](SandboxLink& link) {
        link.Emit("so far");
        for (;;) {
          auto* more = static_cast<volatile char*>(std::malloc(1 << 20));
          for (size_t i = 0; more != nullptr && i < 1 << 20; i += 4096) more[i] = 1;
        }
      },
      limits);
  EXPECT_EQ(outcome.end, SandboxEnd::kTooMuchMemory);
  EXPECT_THAT(outcome.texts, ElementsAre("so far"));
}

TEST_F(SandboxTest, IsOverWhenItHasSaidEnough) {
  Sandbox sandbox;
  ASSERT_TRUE(sandbox
                  .Start({}, {},
                         [](SandboxLink& link) {
                           link.Emit("first");
                           link.Emit("enough");
                           for (;;) asm volatile("");
                         })
                  .has_value());
  const SandboxOutcome outcome =
      sandbox.Wait(SystemClock(), NoFile, [](const std::string& text) { return text == "enough"; });
  EXPECT_EQ(outcome.end, SandboxEnd::kDone);
  EXPECT_THAT(outcome.texts, ElementsAre("first", "enough"));
}

TEST_F(SandboxTest, TellsOfACrash) {
  const SandboxOutcome outcome = RunIn([](SandboxLink& link) {
    link.Emit("so far");
    __builtin_trap();
  });
  EXPECT_EQ(outcome.end, SandboxEnd::kKilled);
  EXPECT_THAT(outcome.signal, AnyOf(SIGILL, SIGTRAP));  // x86_64, aarch64
  EXPECT_THAT(outcome.texts, ElementsAre("so far"));
}

TEST_F(SandboxTest, IsOverWhenItGoesSilentWithoutAnEnd) {
  SandboxLimits limits;
  limits.time = milliseconds(100);
  const SandboxOutcome outcome = RunIn(
      [](SandboxLink& /*link*/) {
        for (int fd = 0; fd < 1024; ++fd) ::close(fd);
        for (;;) asm volatile("");
      },
      limits);
  EXPECT_EQ(outcome.end, SandboxEnd::kTooLong);
}

TEST_F(SandboxTest, GetsDescriptorsThatItAsksFor) {
  Sandbox sandbox;
  const SystemClock clock;
  ASSERT_TRUE(sandbox
                  .Start({}, {},
                         [](SandboxLink& link) {
                           const UniqueFd file = link.Ask("please");
                           std::array<char, 8> bytes{};
                           const ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
                           link.Emit({bytes.data(), size > 0 ? static_cast<size_t>(size) : 0});
                           link.Emit(link.Ask("no").valid() ? "given" : "not given");
                         })
                  .has_value());
  const SandboxOutcome outcome = sandbox.Wait(clock, [](std::string_view request) {
    if (request != "please") return UniqueFd();
    UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
    EXPECT_EQ(::pwrite(file.get(), "hello", 5, 0), 5);
    return file;
  });
  EXPECT_THAT(outcome.texts, ElementsAre("hello", "not given"));
}

}  // namespace
}  // namespace telem
