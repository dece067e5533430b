// HttpClient: sends POST requests over kept connections; the seam to libcurl.
//
// Several requests are under way at once on one thread; Wait() drives them. TLS is verified,
// redirects are not followed, proxies come from the environment (http_proxy and so on).
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

struct HttpRequest {
  std::vector<std::string>
      header_lines;  // "Name: value", without line ends; an empty value is sent
  std::string body;
};

struct HttpAnswer {
  uint32_t status = 0;       // 0 when none came
  uint32_t retry_after = 0;  // seconds, 0 when the server did not say
  std::string body = {};     // its front, at most kMaxBody bytes
  std::string trouble = {};  // what went wrong below HTTP, empty when nothing did
};

class HttpClient {
 public:
  static constexpr size_t kMaxBody = 4096;
  static constexpr long kMaxConnections = 10;
  static constexpr std::chrono::seconds kConnectTime{5};
  static constexpr std::chrono::seconds kRequestTime{10};

  // Sends to `url` only. `ca_file` replaces the system's certificates, where it is not empty.
  static Result<HttpClient> Open(const std::string& url, const std::string& ca_file);

  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // Starts a request; `done` is called from Wait() exactly once.
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
