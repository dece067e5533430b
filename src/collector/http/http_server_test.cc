#include "collector/http/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "collector/http/listen_socket.h"

namespace telem {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Echoes the body; "/later" does so from another thread.
class EchoHandler final : public HttpHandler {
 public:
  ~EchoHandler() {
    for (std::thread& thread : threads_) thread.join();
  }
  std::optional<HttpResponse> Handle(HttpExchange& exchange) override {
    HttpResponse response{
        .status = 200, .body = std::string(exchange.body()), .fixed_body = {}, .headers = {}};
    if (exchange.path() != "/later") return response;
    exchange.Defer();
    threads_.emplace_back([&exchange, response]() mutable {
      std::this_thread::yield();
      exchange.Finish(std::move(response));
    });
    return std::nullopt;
  }
  HttpResponse Refusal(int status, std::string_view message) override {
    return {.status = status, .body = std::string(message), .fixed_body = {}, .headers = {}};
  }

 private:
  std::vector<std::thread> threads_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void Start(const HttpLimits& limits) {
    auto listening = Listen("127.0.0.1:0");
    ASSERT_TRUE(listening);
    const std::string_view url = listening->url;
    const std::string_view port = url.substr(url.rfind(':') + 1);
    port_ = static_cast<uint16_t>(*ParseUnsigned(port.substr(0, port.size() - 1)));
    auto server = HttpServer::Start(std::move(listening->fd), limits, handler_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
  }

  // A connection that gives up on reading after ten seconds.
  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  // All that comes until the server closes the connection.
  static std::string ReadToEnd(int fd) {
    std::string all;
    std::array<char, 4096> piece;
    ssize_t size = 0;
    while ((size = ::read(fd, piece.data(), piece.size())) > 0) {
      all.append(piece.data(), static_cast<size_t>(size));
    }
    EXPECT_TRUE(size == 0 || errno == ECONNRESET) << "no end of the connection";
    return all;
  }

  static std::string Post(std::string_view path, std::string_view body, bool keep = false) {
    std::string request = "POST ";
    request += path;
    request += " HTTP/1.1\r\nHost: x\r\nContent-Length: ";
    AppendUnsigned(request, body.size());
    request += keep ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n";
    request += body;
    return request;
  }

  std::string Ask(std::string_view request) const {
    const UniqueFd fd = Connect();
    EXPECT_TRUE(WriteAll(fd.get(), request));
    return ReadToEnd(fd.get());
  }

  EchoHandler handler_;
  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
};

TEST_F(HttpServerTest, AnswersAtOnceAndLater) {
  Start({});
  for (const char* path : {"/now", "/later"}) {
    const std::string answer = Ask(Post(path, "hello"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    EXPECT_TRUE(answer.ends_with("\r\n\r\nhello")) << answer;
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInTheirOrder) {
  Start({});
  const std::string answer =
      Ask(Post("/later", "first", true) + Post("/now", "second", true) + Post("/later", "third"));
  const size_t first = answer.find("first");
  const size_t second = answer.find("second");
  const size_t third = answer.find("third");
  ASSERT_NE(third, std::string::npos) << answer;
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
}

TEST_F(HttpServerTest, TakesABodyInAnyPieces) {
  Start({});
  const UniqueFd fd = Connect();
  for (const char c : Post("/now", "hello")) ASSERT_TRUE(WriteAll(fd.get(), {&c, 1}));
  EXPECT_TRUE(ReadToEnd(fd.get()).ends_with("hello"));
  EXPECT_TRUE(Ask("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
                  .ends_with("hello"));
}

TEST_F(HttpServerTest, RefusesBodiesThatAreTooLargeAndGoesOn) {
  Start({.body = 10});
  EXPECT_THAT(Ask(Post("/", std::string(10, 'x'))), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Post("/", std::string(11, 'x'))), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  const std::string both = Ask(Post("/", std::string(1000, 'x'), true) + Post("/", "hello"));
  EXPECT_THAT(both, StartsWith("HTTP/1.1 413"));
  EXPECT_TRUE(both.ends_with("hello"));
}

TEST_F(HttpServerTest, AnswersWith503WhenItsMemoryIsUsedUp) {
  Start({.body = 4000, .memory = 5000});
  const UniqueFd slow = Connect();
  // 3,000 bytes of a body that does not end, and an answer that tells that they have arrived.
  ASSERT_TRUE(WriteAll(slow.get(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3001\r\n\r\n" +
                                       std::string(3000, 'x')));
  std::string answer;
  for (int i = 0; i < 1000 && !answer.starts_with("HTTP/1.1 503"); ++i) {
    answer = Ask(Post("/", std::string(2001, 'x')));
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("Retry-After"));
  EXPECT_THAT(Ask(Post("/", "small")), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, RefusesHeadersThatAreTooLarge) {
  Start({});
  const std::string answer =
      Ask("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
  EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 4"), testing::IsEmpty()));
  EXPECT_THAT(Ask(Post("/", "hello")), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ClosesConnectionsThatSayNothing) {
  Start({.silence = seconds(1)});
  const UniqueFd fd = Connect();
  ASSERT_TRUE(WriteAll(fd.get(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"));
  EXPECT_THAT(ReadToEnd(fd.get()), testing::Not(HasSubstr("200")));
}

// A byte now and then is no silence, but a connection that never finishes a request is of no use.
TEST_F(HttpServerTest, ClosesConnectionsThatFinishNoRequest) {
  Start({.request = seconds(0)});
  const UniqueFd fd = Connect();
  ASSERT_TRUE(WriteAll(fd.get(), "POST / HTTP/1.1\r\nHost: x\r\nConte"));
  std::thread reader([&] { ReadToEnd(fd.get()); });
  std::atomic<bool> ended = false;
  std::thread closer([&] {
    while (!ended) server_->CloseStalled();
  });
  reader.join();
  ended = true;
  closer.join();
}

TEST_F(HttpServerTest, TakesNothingNewOnceItStops) {
  Start({});
  const UniqueFd kept = Connect();
  ASSERT_TRUE(WriteAll(kept.get(), Post("/", "hello", true)));
  std::array<char, 4096> answer;
  ASSERT_GT(::read(kept.get(), answer.data(), answer.size()), 0);
  server_->StopAccepting();
  ASSERT_TRUE(WriteAll(kept.get(), Post("/", "hello", true)));
  EXPECT_THAT(ReadToEnd(kept.get()), StartsWith("HTTP/1.1 503"));
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_NE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

}  // namespace
}  // namespace telem
