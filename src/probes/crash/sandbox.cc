#include "probes/crash/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/files.h"

namespace telem {
namespace {

// The first byte of each message.
constexpr char kTextPart = 't';
constexpr char kTextEnd = 'e';
constexpr char kRequest = 'r';

// One message of text; well below what a socket takes.
constexpr size_t kPart = size_t{32} * 1024;
constexpr size_t kMaxTexts = 8;

// More than any library maps of files; memory of its own is watched by the parent.
constexpr rlim_t kMaxAddressSpace = rlim_t{16} << 30;
constexpr rlim_t kMaxCpuSeconds = 5;

bool Limit(int resource, rlim_t value) {
  // As high as that, or as it was where that is lower.
  rlimit now{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) != 0) return false;
  value = std::min(value, now.rlim_max);
  const rlimit limit{value, value};
  return ::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
}

void CloseAllBut(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 0;
  for (const int fd : kept) {
    if (fd < 0) continue;
    const auto number = static_cast<unsigned>(fd);
    if (number > next) ::syscall(SYS_close_range, next, number - 1, 0);
    next = number + 1;
  }
  ::syscall(SYS_close_range, next, ~0U, 0);
}

// The root folder becomes an empty one that is not there any more, so no path leads anywhere.
bool LeaveFileSystem() {
  for (const char* place : {"/run", "/tmp"}) {
    std::string name = std::string(place) + "/telemetrics.XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) continue;
    const UniqueFd outside(::open(place, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const bool inside = ::chroot(name.c_str()) == 0 && ::chdir("/") == 0;
    ::unlinkat(outside.get(), name.c_str() + std::strlen(place) + 1, AT_REMOVEDIR);
    return inside;
  }
  return false;
}

bool BecomeNobody(uid_t uid, gid_t gid) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(gid, gid, gid) == 0 &&
         ::setresuid(uid, uid, uid) == 0;
}

// Everything that computing on open files takes, and nothing that opens, connects, signals, traces
// or starts. Others fail with EPERM, so that a library that only tries goes on without.
bool FilterSystemCalls() {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return false;
  bool ok = true;
  const auto allow = [&](int call) {
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
  };
  for (const int call :
       {SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(write),
        SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(close), SCMP_SYS(munmap), SCMP_SYS(mremap),
        SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
        SCMP_SYS(getrandom), SCMP_SYS(recvmsg), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
        SCMP_SYS(exit_group)}) {
    allow(call);
  }
  // glibc's fstat(); with an empty root no path leads anywhere.
  ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                              SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0)) == 0;
  // libelf asks whether its descriptor is open.
  ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                              SCMP_A1(SCMP_CMP_EQ, F_GETFD, 0)) == 0;
  // Memory that is shared counts as that of a file, and so would not be seen by
  // UsesTooMuchMemory().
  ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                              SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_TYPE, MAP_PRIVATE)) == 0;
  ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
  ok = ok && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return ok;
}

bool CloseIn(const SandboxLimits& limits) {
  // Not dumpable: nobody may trace it, and its own crash is nobody's case. RLIMIT_CORE of 1 says to
  // the kernel that this is a crash handler (core(5)).
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 0);
  const bool limited = Limit(RLIMIT_CORE, 1) && Limit(RLIMIT_AS, kMaxAddressSpace) &&
                       Limit(RLIMIT_CPU, kMaxCpuSeconds) && Limit(RLIMIT_FSIZE, 0) &&
                       Limit(RLIMIT_MEMLOCK, 0) && Limit(RLIMIT_NPROC, 0);
  if (!limited) return false;
  if (::geteuid() == 0) {
    LeaveFileSystem();
    if (!BecomeNobody(limits.uid, limits.gid)) return false;
    // A change of user makes a process what its owner may signal and look into.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_DUMPABLE, 0);
  }
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && FilterSystemCalls();
}

bool SendPart(int socket, char kind, std::string_view text) {
  std::string message(1, kind);
  message += text;
  for (;;) {
    const ssize_t sent = ::write(socket, message.data(), message.size());
    if (sent >= 0 || errno != EINTR) return sent >= 0;
  }
}

// One byte, and a descriptor with it where there is one.
void SendDescriptor(int socket, int fd) {
  char byte = fd >= 0 ? 1 : 0;
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

UniqueFd ReceiveDescriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  msghdr message{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  const cmsghdr* header = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return UniqueFd(fd);
}

}  // namespace

void SandboxLink::Emit(std::string_view text) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, kPart);
    if (!SendPart(socket_, kTextPart, part)) return;
    text.remove_prefix(part.size());
  }
  SendPart(socket_, kTextEnd, "");
}

UniqueFd SandboxLink::Ask(std::string_view request) {
  if (!SendPart(socket_, kRequest, request)) return UniqueFd();
  return ReceiveDescriptor(socket_);
}

Sandbox::~Sandbox() { Kill(); }

void Sandbox::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Status Sandbox::Start(const SandboxLimits& limits, std::vector<int> kept,
                      const std::function<void(SandboxLink&)>& work) {
  limits_ = limits;
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return SystemError("socketpair", errno);
  }
  socket_.Reset(pair[0]);
  UniqueFd inner(pair[1]);
  pid_ = ::fork();
  if (pid_ < 0) return SystemError("fork", errno);
  if (pid_ == 0) {
    kept.push_back(inner.get());
    CloseAllBut(std::move(kept));
    SandboxLink link(inner.get());
    if (!CloseIn(limits)) ::_exit(2);
    work(link);
    ::_exit(0);
  }
  return {};
}

bool Sandbox::UsesTooMuchMemory() const {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/statm", pid_);
  const auto text = ReadFile(path.data(), 256);
  unsigned long size = 0;
  unsigned long resident = 0;
  unsigned long shared = 0;
  if (!text || std::sscanf(text->c_str(), "%lu %lu %lu", &size, &resident, &shared) != 3) {
    return false;
  }
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return resident > shared && (resident - shared) * page > limits_.memory;
}

bool Sandbox::HasEnded(SandboxOutcome& outcome) {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  pid_ = -1;
  if (WIFSIGNALED(status)) {
    outcome.end = SandboxEnd::kKilled;
    outcome.signal = WTERMSIG(status);
  } else if (WEXITSTATUS(status) != 0) {
    outcome.end = SandboxEnd::kKilled;
  }
  return true;
}

SandboxOutcome Sandbox::Wait(const Clock& clock,
                             const std::function<UniqueFd(std::string_view)>& answer,
                             const std::function<bool(const std::string&)>& is_enough) {
  constexpr int kLook = 20;    // milliseconds between two looks at its memory
  constexpr int kEndLook = 2;  // and at whether it is gone, once it has nothing to say any more
  const MonotonicTime end = clock.Monotonic() + limits_.time;
  SandboxOutcome outcome;
  std::string text;
  std::vector<char> buffer(kPart + 1);
  bool is_silent = false;
  bool has_enough = false;
  while (!has_enough && (!is_silent || !HasEnded(outcome))) {
    if (clock.Monotonic() >= end) {
      outcome.end = SandboxEnd::kTooLong;
      break;
    }
    if (UsesTooMuchMemory()) {
      outcome.end = SandboxEnd::kTooMuchMemory;
      break;
    }
    pollfd ready{is_silent ? -1 : socket_.get(), POLLIN, 0};
    if (::poll(&ready, 1, is_silent ? kEndLook : kLook) <= 0) continue;
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) {
      is_silent = true;
      continue;
    }
    const std::string_view message(buffer.data() + 1, static_cast<size_t>(got) - 1);
    switch (buffer[0]) {
      case kTextPart:
        if (text.size() + message.size() <= limits_.text) text += message;
        break;
      case kTextEnd:
        has_enough = is_enough && is_enough(text);
        if (outcome.texts.size() < kMaxTexts) outcome.texts.push_back(std::move(text));
        text.clear();
        break;
      default:
        SendDescriptor(socket_.get(), answer(message).get());
    }
  }
  Kill();
  return outcome;
}

}  // namespace telem
