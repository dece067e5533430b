// sink: the barest HTTP server that a record can be delivered to. It reads whole requests on kept
// connections, counts them, and answers each with an empty 201; nothing is looked at or kept, so
// that what is measured in front of it is the sender.
//
//   sink [--announce N]
//
// Its first line is the port of 127.0.0.1 that it listens on. After every N requests it prints
// their number, at SIGTERM or SIGINT the number in all, and ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"

namespace telem {
namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
constexpr size_t kMaxHead = size_t{64} * 1024;
constexpr size_t kBuffer = size_t{256} * 1024;

bool StartsWithWord(std::string_view line, std::string_view lower_case) {
  return std::ranges::equal(line.substr(0, lower_case.size()), lower_case, {}, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
}

// Counts the whole requests in a stream of bytes.
class RequestCounter {
 public:
  // Takes what came in; returns how many requests it ended, nothing when it is no HTTP.
  std::optional<size_t> Take(std::string_view bytes) {
    size_t requests = 0;
    if (!kept_.empty()) {
      kept_ += bytes;
      bytes = kept_;
    }
    while (!bytes.empty()) {
      const Step step = state_ == State::kBody ? TakeBody(bytes) : TakeLine(bytes);
      if (step == Step::kBad) return std::nullopt;
      if (step == Step::kMore) break;
      if (step == Step::kRequest) ++requests;
    }
    if (bytes.size() > kMaxHead) return std::nullopt;
    kept_ = std::string(bytes);
    return requests;
  }

 private:
  enum class State { kHead, kBody, kChunkSize, kChunkEnd, kTrailer };
  enum class Step { kGoOn, kMore, kRequest, kBad };

  Step TakeBody(std::string_view& bytes) {
    const size_t taken = std::min<size_t>(left_, bytes.size());
    bytes.remove_prefix(taken);
    left_ -= taken;
    if (left_ > 0) return Step::kMore;
    state_ = chunked_ ? State::kChunkEnd : State::kHead;
    return chunked_ ? Step::kGoOn : Step::kRequest;
  }

  Step TakeLine(std::string_view& bytes) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return Step::kMore;
    const std::string_view line = Trim(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
    switch (state_) {
      case State::kHead:
        return TakeHeadLine(line);
      case State::kChunkSize:
        left_ = std::strtoull(std::string(line).c_str(), nullptr, 16);
        state_ = left_ > 0 ? State::kBody : State::kTrailer;
        return Step::kGoOn;
      case State::kChunkEnd:
        state_ = State::kChunkSize;
        return Step::kGoOn;
      case State::kTrailer:
        if (!line.empty()) return Step::kGoOn;
        state_ = State::kHead;
        return Step::kRequest;
      case State::kBody:
        break;
    }
    return Step::kBad;
  }

  Step TakeHeadLine(std::string_view line) {
    constexpr std::string_view kLength = "content-length:";
    if (first_line_) {
      if (!line.contains(" HTTP/1.")) return Step::kBad;
      first_line_ = false;
      chunked_ = false;
      left_ = 0;
    } else if (StartsWithWord(line, kLength)) {
      const auto length = ParseUnsigned(Trim(line.substr(kLength.size())));
      if (!length) return Step::kBad;
      left_ = *length;
    } else if (StartsWithWord(line, "transfer-encoding:")) {
      chunked_ = true;
    } else if (line.empty()) {
      first_line_ = true;
      if (chunked_) {
        state_ = State::kChunkSize;
      } else if (left_ > 0) {
        state_ = State::kBody;
      } else {
        return Step::kRequest;
      }
    }
    return Step::kGoOn;
  }

  State state_ = State::kHead;
  bool first_line_ = true;
  bool chunked_ = false;
  uint64_t left_ = 0;
  std::string kept_;  // a line without its end
};

class Sink {
 public:
  explicit Sink(size_t announce) : announce_(announce) {}

  bool Open() {
    listener_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (!listener_.valid() || ::bind(listener_.get(), any, size) != 0 ||
        ::listen(listener_.get(), 128) != 0 || ::getsockname(listener_.get(), any, &size) != 0) {
      return false;
    }
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGTERM);
    ::sigaddset(&mask, SIGINT);
    ::sigprocmask(SIG_BLOCK, &mask, nullptr);
    signals_.Reset(::signalfd(-1, &mask, SFD_CLOEXEC));
    epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!Watch(listener_.get()) || !Watch(signals_.get())) return false;
    std::printf("%d\n", ::ntohs(address.sin_port));
    return std::fflush(stdout) == 0;
  }

  int Run() {
    std::array<epoll_event, 64> ready;
    while (true) {
      const int count = ::epoll_wait(epoll_.get(), ready.data(), ready.size(), -1);
      if (count < 0 && errno != EINTR) return 1;
      for (int i = 0; i < count; ++i) {
        const int fd = ready[static_cast<size_t>(i)].data.fd;
        if (fd == signals_.get()) {
          std::printf("%zu\n", requests_);
          return 0;
        }
        if (fd == listener_.get()) {
          Accept();
        } else if (!Serve(fd)) {
          connections_.erase(fd);
        }
      }
    }
  }

 private:
  struct Connection {
    UniqueFd fd;
    RequestCounter counter;
  };

  bool Watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    return fd >= 0 && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }

  void Accept() {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid() || !Watch(fd.get())) return;
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int key = fd.get();
    connections_[key] = Connection{std::move(fd), {}};
  }

  // False when the connection is over.
  bool Serve(int fd) {
    const ssize_t n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (n <= 0) return false;
    const auto requests = connections_[fd].counter.Take({buffer_.data(), static_cast<size_t>(n)});
    if (!requests) return false;
    std::string answers;
    for (size_t i = 0; i < *requests; ++i) answers += kAnswer;
    // A few hundred bytes at most, into an empty socket buffer.
    if (!answers.empty() && ::send(fd, answers.data(), answers.size(), MSG_NOSIGNAL) < 0) {
      return false;
    }
    Count(*requests);
    return true;
  }

  void Count(size_t requests) {
    const size_t before = requests_;
    requests_ += requests;
    if (announce_ > 0 && before / announce_ != requests_ / announce_) {
      std::printf("%zu\n", requests_ / announce_ * announce_);
      std::fflush(stdout);
    }
  }

  const size_t announce_;
  size_t requests_ = 0;
  UniqueFd listener_;
  UniqueFd signals_;
  UniqueFd epoll_;
  std::unordered_map<int, Connection> connections_;
  std::vector<char> buffer_ = std::vector<char>(kBuffer);
};

}  // namespace
}  // namespace telem

int main(int argc, char** argv) {
  size_t announce = 0;
  if (argc == 3 && std::string_view(argv[1]) == "--announce") {
    announce = telem::ParseUnsigned(argv[2]).value_or(0);
  } else if (argc != 1) {
    std::fputs("usage: sink [--announce N]\n", stderr);
    return 2;
  }
  telem::Sink sink(announce);
  if (!sink.Open()) {
    std::perror("sink");
    return 1;
  }
  return sink.Run();
}
