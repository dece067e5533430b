// HttpClient: sends POST requests over kept connections; the seam to libcurl.
//
// Several requests are under way at once on one thread; Wait() drives them. TLS is verified and
// redirects are not followed. Over TLS it speaks HTTP/2 where the server does, and then all
// requests share one connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace telem {

// Where requests go, and how one gets there. Files are PEM; what is empty is not used.
struct HttpTarget {
  std::string url;          // http:// or https://
  std::string ca_file;      // in place of the system's certificates
  std::string client_cert;  // shown to the server; its key may stand in the same file
  std::string client_key;
  std::string proxy;  // else the environment's: http_proxy, https_proxy, no_proxy
};

struct HttpRequest {
  std::vector<std::string>
      header_lines;  // "Name: value", without line ends; an empty value is sent
  std::string body;
};

struct HttpAnswer {
  uint32_t status = 0;       // 0 when none came
  std::string reason = {};   // behind the status, where the server wrote one
  uint32_t retry_after = 0;  // seconds, 0 when the server did not say
  std::string body = {};     // its front, at most kMaxBody bytes
  std::string trouble = {};  // what went wrong below HTTP, empty when nothing did
};

class HttpClient {
 public:
  static constexpr size_t kMaxBody = size_t{16} * 1024;
  static constexpr size_t kMaxHeaders = size_t{64} * 1024;  // an answer with more is none
  static constexpr long kMaxConnections = 10;
  static constexpr std::chrono::seconds kConnectTime{5};
  static constexpr std::chrono::seconds kRequestTime{10};

  static Result<HttpClient> Open(HttpTarget target);

  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Starts a request; `done` is called from Wait() exactly once. It may start further ones.
  using Done = std::function<void(const HttpAnswer&)>;
  void Post(HttpRequest request, Done done);

  size_t under_way() const;

  // Goes on with what is under way until something happened, `fd` (or -1) is readable, or `wait` is
  // over. Returns whether `fd` is known to be readable or at its end.
  Result<bool> Wait(int fd, std::chrono::milliseconds wait);

 private:
  struct Transfer;
  struct Curl;

  HttpClient();

  std::unique_ptr<Curl> curl_;
};

}  // namespace telem
