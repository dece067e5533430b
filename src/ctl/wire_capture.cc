#include "ctl/wire_capture.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "ipc/unix_socket.h"
#include "record/http_codec.h"

namespace telem {
namespace {

constexpr int kPatienceMs = 15'000;  // telem-deliver itself gives up on a request after 10 s
constexpr size_t kMaxRequest = size_t{1024} * 1024;

// What every protocol takes for success.
constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    "Connection: close\r\n\r\n{}";

// A folder of ours alone, for the socket.
class PrivateFolder {
 public:
  Status Make() {
    const char* const base = std::getenv("TMPDIR");
    path_ = std::string(base == nullptr || *base != '/' ? "/tmp" : base) + "/telemctl-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) {
      const int err = errno;
      path_.clear();
      return SystemError("make a folder for temporary files", err);
    }
    return {};
  }
  ~PrivateFolder() {
    if (path_.empty()) return;
    ::unlink(socket_path().c_str());
    ::rmdir(path_.c_str());
  }
  std::string socket_path() const { return path_ + "/proxy"; }

 private:
  std::string path_;
};

// telem-deliver as telemd runs it, but for its input, which is a file, and its proxy.
class Deliverer {
 public:
  ~Deliverer() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  Status Start(const std::string& program, std::string_view input, const std::string& proxy) {
    const UniqueFd in(::memfd_create("records", MFD_CLOEXEC));
    if (!in.valid()) return SystemError("memory for the record", errno);
    TELEM_CHECK(WriteAll(in.get(), input));
    if (::lseek(in.get(), 0, SEEK_SET) != 0) return SystemError("record", errno);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return SystemError("pipe", errno);
    verdicts_.Reset(ends[0]);
    const UniqueFd out(ends[1]);

    std::string http_proxy = "http_proxy=" + proxy;
    std::vector<char*> environment = {http_proxy.data()};
    for (char** each = ::environ; *each != nullptr; ++each) {
      if (!IsAboutProxies(*each)) environment.push_back(*each);
    }
    environment.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out.get(), STDOUT_FILENO);
    std::string name = program;
    char* arguments[] = {name.data(), nullptr};
    const int error =
        ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error == 0) return {};
    pid_ = -1;
    return SystemError("start '" + program + "'", error);
  }

  int verdicts() const { return verdicts_.get(); }

 private:
  static bool IsAboutProxies(std::string_view variable) {
    const std::string_view name = TakeUntil(variable, '=');
    constexpr std::string_view kEnd = "_proxy";
    return name.size() >= kEnd.size() &&
           ::strncasecmp(name.data() + name.size() - kEnd.size(), kEnd.data(), kEnd.size()) == 0;
  }

  pid_t pid_ = -1;
  UniqueFd verdicts_;
};

// Whether `fd` has something to read in time.
bool WaitFor(int fd) {
  pollfd readable{fd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&readable, 1, kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

std::unexpected<Error> NoRequest(std::string_view why) {
  return Fail(ErrorCode::kUnavailable, "telem-deliver makes no request of it: " + std::string(why));
}

// Appends what comes next; at least one byte.
Status ReadSome(int fd, std::string& bytes) {
  std::array<char, 16 * 1024> piece;
  if (!WaitFor(fd)) return NoRequest("it takes too long");
  const ssize_t n = ::read(fd, piece.data(), piece.size());
  if (n < 0) return SystemError("read", errno);
  if (n == 0) return NoRequest("it went away");
  bytes.append(piece.data(), static_cast<size_t>(n));
  if (bytes.size() > kMaxRequest) return NoRequest("more than a request");
  return {};
}

Status Send(int fd, std::string_view bytes) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return SystemError("send", errno);
  }
  return {};
}

// The server's half of RFC 1928: no authentication, one connection, to anywhere. What follows it is
// left in `bytes`.
Status TakeHandshake(int fd, std::string& bytes) {
  const auto take = [&](size_t size) -> Result<std::string> {
    while (bytes.size() < size) TELEM_CHECK(ReadSome(fd, bytes));
    std::string taken = bytes.substr(0, size);
    bytes.erase(0, size);
    return taken;
  };
  TELEM_TRY(const std::string greeting, take(2));
  // Methods; none is asked for.
  if (auto taken = take(static_cast<unsigned char>(greeting[1])); !taken) {
    return std::unexpected(std::move(taken.error()));
  }
  TELEM_CHECK(Send(fd, std::string_view("\5\0", 2)));
  TELEM_TRY(const std::string request, take(4));
  size_t address = request[3] == 1 ? 4 : 16;
  if (request[3] == 3) {
    TELEM_TRY(const std::string length, take(1));
    address = static_cast<unsigned char>(length[0]);
  }
  // Where to, with its port; it is we anyway.
  if (auto taken = take(address + 2); !taken) return std::unexpected(std::move(taken.error()));
  return Send(fd, std::string_view("\5\0\0\1\0\0\0\0\0\0", 10));
}

// How many bytes the request has that starts with `bytes`, once its head is there.
std::optional<size_t> SizeOfRequest(std::string_view bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view head = bytes.substr(0, end + 2);
  while (!head.empty()) {
    std::string_view line = TakeUntil(head, '\n');
    if (!SameHttpName(TakeUntil(line, ':'), "Content-Length")) continue;
    return end + 4 + ParseUnsigned(Trim(line)).value_or(0);
  }
  return end + 4;
}

// "ID refused 0 0 text": the text.
std::string TextOfVerdict(std::string_view line) {
  const auto verdict = ParseVerdict(TakeUntil(line, '\n'));
  return verdict ? std::string(verdict->text) : "it gave no reason";
}

// http://host/… where the server is https://host/…, with the same Host header.
std::string AsPlainHttp(const std::string& server) {
  constexpr std::string_view kTls = "https://";
  if (!server.starts_with(kTls)) return server;
  std::string plain = "http://" + server.substr(kTls.size());
  const size_t path = plain.find_first_of("/?#", std::string_view("http://").size());
  const size_t end = path == std::string::npos ? plain.size() : path;
  constexpr std::string_view kDefaultPort = ":443";
  if (std::string_view(plain).substr(0, end).ends_with(kDefaultPort)) {
    plain.erase(end - kDefaultPort.size(), kDefaultPort.size());
  }
  return plain;
}

}  // namespace

std::string DeliverProgram() { return OwnFolder() + "/../libexec/telemetrics/telem-deliver"; }

Result<std::string> CaptureRequest(const std::string& deliver_program, DeliverySettings settings,
                                   const DeliveryRecord& record) {
  PrivateFolder folder;
  TELEM_CHECK(folder.Make());
  TELEM_TRY(const UniqueFd listener, ListenAt(folder.socket_path(), 0600));

  settings.server = AsPlainHttp(settings.server);
  settings.proxy.clear();  // that is us
  std::string input = EncodeDeliverySettings(settings);
  const auto head = EncodeDeliveryHead(record.id, record.headers.size(), record.payload.size());
  input.append(head.data(), head.size());
  input += record.headers;
  input += record.payload;
  Deliverer deliverer;
  TELEM_CHECK(
      deliverer.Start(deliver_program, input, "socks5h://localhost" + folder.socket_path()));

  std::array<pollfd, 2> first = {{{listener.get(), POLLIN, 0}, {deliverer.verdicts(), POLLIN, 0}}};
  int ready;
  do {
    ready = ::poll(first.data(), first.size(), kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return NoRequest("it takes too long");
  if ((first[0].revents & POLLIN) == 0) {
    // It does not come to a request: the verdict says why.
    std::string verdict;
    if (!ReadSome(deliverer.verdicts(), verdict)) return NoRequest("it ended");
    return NoRequest(TextOfVerdict(verdict));
  }
  const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return SystemError("accept", errno);
  std::string bytes;
  TELEM_CHECK(TakeHandshake(connection.get(), bytes));
  std::optional<size_t> size;
  while (!(size = SizeOfRequest(bytes)) || bytes.size() < *size) {
    TELEM_CHECK(ReadSome(connection.get(), bytes));
  }
  TELEM_CHECK(Send(connection.get(), kAnswer));
  return bytes;
}

}  // namespace telem
