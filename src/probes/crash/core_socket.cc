#include "probes/crash/core_socket.h"

#include <elf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/files.h"

namespace telem {
namespace {

// linux/pidfd.h and linux/coredump.h of 6.17; older systems have no such headers.
constexpr int kSoPeerPidFd = 77;
constexpr uint64_t kInfoPid = 1;
constexpr uint64_t kInfoCoredump = 1 << 4;
constexpr uint32_t kDumped = 1;
struct PidFdInfo {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid;
  uint32_t tgid;
  uint32_t others[9];  // parent, users, groups
  int32_t exit_code;
  uint32_t coredump_mask;
  uint32_t spare;
};
static_assert(sizeof(PidFdInfo) == 72);
#define TELEM_PIDFD_GET_INFO _IOWR(0xFF, 11, PidFdInfo)

constexpr uint64_t kKernelWrites = 1;
constexpr uint64_t kWait = 8;
constexpr uint32_t kMessage = 16;  // of the first version of both structures
constexpr uint32_t kMaxRequest = 4096;

struct CoreRequest {
  uint32_t size;
  uint32_t size_ack;
  uint64_t mask;
};
struct CoreAnswer {
  uint32_t size;
  uint32_t spare;
  uint64_t mask;
};

// Waits for all of `size` bytes, and leaves them there when `flags` has MSG_PEEK.
Status Receive(int socket, char* bytes, size_t size, int flags) {
  for (;;) {
    const ssize_t got = ::recv(socket, bytes, size, flags | MSG_WAITALL);
    if (got == static_cast<ssize_t>(size)) return {};
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read from the kernel's socket", errno);
    return Fail(ErrorCode::kInvalid, "the kernel's connection ended early");
  }
}

}  // namespace

Result<DumpedProcess> FindDumpedProcess(int socket) {
  DumpedProcess process;
  int fd = -1;
  socklen_t size = sizeof(fd);
  if (::getsockopt(socket, SOL_SOCKET, kSoPeerPidFd, &fd, &size) != 0) {
    return SystemError("ask who is at the socket", errno);
  }
  process.pidfd.Reset(fd);
  PidFdInfo info{};
  info.mask = kInfoPid | kInfoCoredump;
  if (::ioctl(fd, TELEM_PIDFD_GET_INFO, &info) != 0) {
    return SystemError("ask what the peer is", errno);
  }
  if ((info.mask & kInfoCoredump) == 0 || (info.coredump_mask & kDumped) == 0) {
    return Fail(ErrorCode::kDenied, "the peer is no process that the kernel dumps");
  }
  process.pid = static_cast<pid_t>(info.tgid);
  return process;
}

Result<std::string> AnswerCoreRequest(std::string_view request) {
  CoreRequest asked{};
  if (request.size() < sizeof(asked)) return Fail(ErrorCode::kInvalid, "the request is too short");
  std::memcpy(&asked, request.data(), sizeof(asked));
  constexpr uint64_t kWanted = kKernelWrites | kWait;
  if (asked.size != request.size() || asked.size_ack < kMessage ||
      (asked.mask & kWanted) != kWanted) {
    return Fail(ErrorCode::kInvalid, "the kernel asks in a way that is not known");
  }
  const CoreAnswer answer{kMessage, 0, kWanted};
  return std::string(reinterpret_cast<const char*>(&answer), sizeof(answer));
}

Status RequestCore(int socket) {
  std::array<char, 4> start{};
  TELEM_CHECK(Receive(socket, start.data(), start.size(), MSG_PEEK));
  if (std::memcmp(start.data(), ELFMAG, SELFMAG) == 0) return {};
  uint32_t size = 0;
  std::memcpy(&size, start.data(), sizeof(size));
  if (size < kMessage || size > kMaxRequest) {
    return Fail(ErrorCode::kInvalid, "the kernel asks in a way that is not known");
  }
  std::string request(size, '\0');
  TELEM_CHECK(Receive(socket, request.data(), request.size(), 0));
  TELEM_TRY(const std::string answer, AnswerCoreRequest(request));
  TELEM_CHECK(WriteAll(socket, answer));
  uint32_t mark = 0;
  std::array<char, sizeof(mark)> bytes{};
  TELEM_CHECK(Receive(socket, bytes.data(), bytes.size(), 0));
  std::memcpy(&mark, bytes.data(), sizeof(mark));
  if (mark != 0) return Fail(ErrorCode::kInvalid, "the kernel refused our answer");
  return {};
}

}  // namespace telem
