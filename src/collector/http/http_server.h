// HttpServer: HTTP/1.1 for strangers, and the only place that knows libmicrohttpd.
//
// One thread serves all connections. A request that has to wait for something (a commit, a search)
// is put aside without a thread and answered later, from any thread. Whatever clients do, memory
// stays within HttpLimits.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "collector/http/http_field.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace telem {

struct HttpLimits {
  size_t body = size_t{512} * 1024;              // bytes of one request's body
  size_t memory = size_t{12} * 1024 * 1024;      // bytes of all bodies and answers under way
  size_t connection_memory = size_t{16} * 1024;  // per connection: request line, headers, buffers
  unsigned connections = 1000;                   // in all; further ones wait in the kernel's queue
  unsigned connections_per_address = 100;        // except for this machine's own
  std::chrono::seconds silence{30};              // until a connection that says nothing is closed
  std::chrono::seconds request{60};              // until one is closed that finishes no request
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string_view fixed_body;  // instead of `body`: bytes that last as long as the program
  // What to say where memory for `body` is lacking; empty: 503. As fixed_body.
  std::string_view short_body = {};
  std::vector<std::pair<const char*, std::string>> headers;
};

// One request and its answer.
class HttpExchange {
 public:
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  // All views last until the request is answered.
  std::string_view method() const { return method_; }
  std::string_view path() const { return path_; }  // decoded, without parameters
  std::span<const HttpField> headers() const { return headers_; }
  std::span<const HttpField> parameters() const { return parameters_; }
  std::string_view body() const { return body_; }

  // Says that Finish will be called later. Before the exchange is handed to another thread.
  void Defer();
  // Answers a deferred exchange; it must not be touched any more afterwards.
  void Finish(HttpResponse response);

 private:
  friend class HttpServer;
  HttpExchange(class HttpServer& server, MHD_Connection* connection)
      : server_(server), connection_(connection) {}
  ~HttpExchange();

  class HttpServer& server_;
  MHD_Connection* connection_;
  std::string_view method_;
  std::string_view path_;
  std::vector<HttpField> headers_;
  std::vector<HttpField> parameters_;
  std::string body_;
  size_t discarded_ = 0;  // bytes of a body that is too large
  size_t charged_ = 0;    // bytes taken from the server's budget
  bool was_handled_ = false;
  std::optional<HttpResponse> response_;
};

class HttpHandler {
 public:
  // The whole request is in. Returns the answer, or Defers and returns nothing.
  virtual std::optional<HttpResponse> Handle(HttpExchange& exchange) = 0;

  // The body of an answer that the server gives by itself: too large, too busy.
  virtual HttpResponse Refusal(int status, std::string_view message) = 0;

 protected:
  ~HttpHandler() = default;
};

class HttpServer {
 public:
  // Serves connections to `listen_socket` until Stop. `handler` is called on the server's thread.
  static Result<std::unique_ptr<HttpServer>> Start(UniqueFd listen_socket, const HttpLimits& limits,
                                                   HttpHandler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // No new connections; further requests on old ones are answered with 503.
  void StopAccepting();

  // Waits for at most `grace` until answers are sent, then closes everything. Every deferred
  // exchange must have been finished.
  void Stop(std::chrono::milliseconds grace);

  // Ends connections that have not finished a request for HttpLimits::request. To be called from
  // time to time, from any thread but the server's.
  void CloseStalled();

 private:
  friend class HttpExchange;
  struct Callbacks;
  struct Connection {
    int fd = -1;
    std::string address;  // empty: this machine
    std::chrono::steady_clock::time_point last_request;
  };

  HttpServer(UniqueFd listen_socket, const HttpLimits& limits, HttpHandler& handler)
      : listen_socket_(std::move(listen_socket)), limits_(limits), handler_(handler) {}

  // What the library calls (http_server.cc).
  bool MayConnect(const std::string& address);
  Connection* AddConnection(int fd, std::string address);
  void RemoveConnection(Connection* connection);
  HttpExchange* Begin(MHD_Connection* connection, const char* url, const char* method);
  bool TakeBody(HttpExchange& exchange, std::string_view bytes);
  bool Complete(HttpExchange& exchange);
  bool Send(HttpExchange& exchange);
  void End(HttpExchange* exchange, Connection* connection);

  // Whether `bytes` more fit the budget; if so, they are taken for `exchange`.
  bool Charge(HttpExchange& exchange, size_t bytes);

  UniqueFd listen_socket_;
  const HttpLimits limits_;
  HttpHandler& handler_;
  MHD_Daemon* daemon_ = nullptr;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> memory_used_ = 0;
  std::atomic<int> under_way_ = 0;

  std::mutex mutex_;  // guards what follows
  std::list<Connection> connections_;
  std::map<std::string, unsigned> per_address_;
};

}  // namespace telem
