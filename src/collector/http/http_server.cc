#include "collector/http/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "base/text.h"
#include "record/http_codec.h"

namespace telem {
namespace {

// A body that is too large is read and thrown away up to this, so that the client gets to read
// why; beyond it the connection is closed.
constexpr size_t kMaxDiscarded = size_t{8} * 1024 * 1024;

// What a client should wait before it tries again, in seconds.
constexpr const char* kRetryAfter = "2";

// The address without its port; empty for this machine's own, which may connect as often as it
// likes: reverse proxies and telem-deliver.
std::string AddressText(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address == nullptr) return "";
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    if (ntohl(v4->sin_addr.s_addr) >> 24 == 127) return "";
    ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    // 127.0.0.1 at a socket of IPv6 is ::ffff:127.0.0.1.
    const bool is_v4_loopback =
        IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127;
    if (is_v4_loopback || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) return "";
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
  }
  return text.data();
}

MHD_Result AppendField(void* fields, MHD_ValueKind, const char* name, size_t name_size,
                       const char* value, size_t value_size) {
  static_cast<std::vector<HttpField>*>(fields)->push_back(
      {std::string_view(name, name_size),
       value != nullptr ? std::string_view(value, value_size) : std::string_view()});
  return MHD_YES;
}

size_t AnnouncedLength(std::span<const HttpField> headers) {
  for (const HttpField& header : headers) {
    if (SameHttpName(header.name, "Content-Length")) {
      return ParseUnsigned(header.value).value_or(0);
    }
  }
  return 0;
}

// Whether all that read these headers agree on where the body ends; else what a proxy takes for a
// body could be a request to us. The library takes the first length, and `chunked` before any.
bool HasClearLength(std::span<const HttpField> headers) {
  int lengths = 0;
  for (const HttpField& header : headers) {
    if (SameHttpName(header.name, "Content-Length")) {
      ++lengths;
    } else if (SameHttpName(header.name, "Transfer-Encoding")) {
      ++lengths;
      if (!SameHttpName(header.value, "chunked")) return false;
    }
  }
  return lengths <= 1;
}

}  // namespace

// The library's side: C functions, and nothing but conversions in them.
struct HttpServer::Callbacks {
  static MHD_Result Accept(void* self, const sockaddr* address, socklen_t) {
    return static_cast<HttpServer*>(self)->MayConnect(AddressText(address)) ? MHD_YES : MHD_NO;
  }

  static void NotifyConnection(void* self, MHD_Connection* connection, void** context,
                               MHD_ConnectionNotificationCode code) {
    auto* server = static_cast<HttpServer*>(self);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
      server->RemoveConnection(static_cast<Connection*>(*context));
      return;
    }
    const auto* fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const auto* address = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *context = server->AddConnection(fd->connect_fd, AddressText(address->client_addr));
  }

  // Called when the headers are in, then with each piece of the body, then with none.
  static MHD_Result Access(void* self, MHD_Connection* connection, const char* url,
                           const char* method, const char*, const char* data, size_t* size,
                           void** context) {
    auto* server = static_cast<HttpServer*>(self);
    auto* exchange = static_cast<HttpExchange*>(*context);
    if (exchange == nullptr) {
      exchange = server->Begin(connection, url, method);
      *context = exchange;
      // Answering before the body closes the connection.
      return !exchange->response_ || server->Send(*exchange) ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
      const std::string_view bytes(data, *size);
      *size = 0;
      return server->TakeBody(*exchange, bytes) ? MHD_YES : MHD_NO;
    }
    return server->Complete(*exchange) ? MHD_YES : MHD_NO;
  }

  static void Completed(void* self, MHD_Connection* connection, void** context,
                        MHD_RequestTerminationCode) {
    const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    static_cast<HttpServer*>(self)->End(static_cast<HttpExchange*>(*context),
                                        static_cast<Connection*>(info->socket_context));
    *context = nullptr;
  }
};

HttpExchange::~HttpExchange() { server_.memory_used_ -= charged_; }

void HttpExchange::Defer() { MHD_suspend_connection(connection_); }

void HttpExchange::Finish(HttpResponse response) {
  response_ = std::move(response);
  MHD_resume_connection(connection_);
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(UniqueFd listen_socket,
                                                      const HttpLimits& limits,
                                                      HttpHandler& handler) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(listen_socket), limits, handler));
  server->daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, Callbacks::Accept, server.get(),
      Callbacks::Access, server.get(),                                               //
      MHD_OPTION_LISTEN_SOCKET, server->listen_socket_.get(),                        //
      MHD_OPTION_CONNECTION_LIMIT, limits.connections,                               //
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, limits.connection_memory,                  //
      MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned>(limits.silence.count()),  //
      MHD_OPTION_NOTIFY_CONNECTION, Callbacks::NotifyConnection, server.get(),       //
      MHD_OPTION_NOTIFY_COMPLETED, Callbacks::Completed, server.get(),               //
      MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
  if (server->daemon_ == nullptr) return SystemError("start the HTTP server", errno);
  return server;
}

HttpServer::~HttpServer() { Stop(std::chrono::milliseconds(0)); }

void HttpServer::StopAccepting() {
  stopping_ = true;
  // The descriptor itself must live until the library's thread has ended.
  if (MHD_quiesce_daemon(daemon_) != MHD_INVALID_SOCKET) {
    ::shutdown(listen_socket_.get(), SHUT_RDWR);
  }
}

void HttpServer::Stop(std::chrono::milliseconds grace) {
  if (daemon_ == nullptr) return;
  StopAccepting();
  const auto end = std::chrono::steady_clock::now() + grace;
  while (under_way_ > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  MHD_stop_daemon(daemon_);
  daemon_ = nullptr;
}

void HttpServer::CloseStalled() {
  const auto limit = std::chrono::steady_clock::now() - limits_.request;
  const std::lock_guard lock(mutex_);
  for (const Connection& connection : connections_) {
    // The library sees the end of the connection and cleans up; the lock keeps the descriptor
    // from being closed, and opened as something else, meanwhile.
    if (connection.last_request < limit) ::shutdown(connection.fd, SHUT_RDWR);
  }
}

bool HttpServer::MayConnect(const std::string& address) {
  if (address.empty()) return true;
  const std::lock_guard lock(mutex_);
  const auto found = per_address_.find(address);
  return found == per_address_.end() || found->second < limits_.connections_per_address;
}

HttpServer::Connection* HttpServer::AddConnection(int fd, std::string address) {
  const std::lock_guard lock(mutex_);
  if (!address.empty()) ++per_address_[address];
  connections_.push_back({fd, std::move(address), std::chrono::steady_clock::now()});
  return &connections_.back();
}

void HttpServer::RemoveConnection(Connection* connection) {
  const std::lock_guard lock(mutex_);
  if (!connection->address.empty() && --per_address_[connection->address] == 0) {
    per_address_.erase(connection->address);
  }
  connections_.remove_if([&](const Connection& c) { return &c == connection; });
}

HttpExchange* HttpServer::Begin(MHD_Connection* connection, const char* url, const char* method) {
  auto* exchange = new HttpExchange(*this, connection);
  ++under_way_;
  exchange->method_ = method;
  exchange->path_ = url;
  exchange->headers_.reserve(24);
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, AppendField, &exchange->headers_);
  MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, AppendField,
                              &exchange->parameters_);
  const size_t length = AnnouncedLength(exchange->headers_);
  if (!HasClearLength(exchange->headers_)) {
    exchange->response_ = handler_.Refusal(400, "the length of the body is not clear");
  } else if (length > std::max(limits_.body, kMaxDiscarded)) {
    exchange->response_ = handler_.Refusal(413, "the body is too large");
  } else if (length <= limits_.body) {
    exchange->body_.reserve(std::min(length, limits_.connection_memory));
  }
  return exchange;
}

bool HttpServer::Charge(HttpExchange& exchange, size_t bytes) {
  if (memory_used_.fetch_add(bytes) + bytes > limits_.memory) {
    memory_used_ -= bytes;
    return false;
  }
  exchange.charged_ += bytes;
  return true;
}

bool HttpServer::TakeBody(HttpExchange& exchange, std::string_view bytes) {
  if (!exchange.response_) {
    if (exchange.body_.size() + bytes.size() > limits_.body) {
      exchange.response_ = handler_.Refusal(413, "the body is too large");
    } else if (!Charge(exchange, bytes.size())) {
      exchange.response_ = handler_.Refusal(503, "too many requests at once");
      exchange.response_->headers.emplace_back("Retry-After", kRetryAfter);
    } else {
      exchange.body_ += bytes;
      return true;
    }
    exchange.body_ = std::string();
  }
  exchange.discarded_ += bytes.size();
  return exchange.discarded_ <= kMaxDiscarded;
}

bool HttpServer::Complete(HttpExchange& exchange) {
  if (!exchange.response_ && stopping_) {
    exchange.response_ = handler_.Refusal(503, "stopping");
    exchange.response_->headers.emplace_back("Retry-After", kRetryAfter);
    exchange.response_->headers.emplace_back("Connection", "close");
  }
  if (!exchange.response_) {
    if (exchange.was_handled_) return true;  // deferred, and woken for some other reason
    exchange.was_handled_ = true;
    std::optional<HttpResponse> response = handler_.Handle(exchange);
    if (!response) return true;
    exchange.response_ = std::move(response);
  }
  return Send(exchange);
}

bool HttpServer::Send(HttpExchange& exchange) {
  if (HttpResponse& full = *exchange.response_; !Charge(exchange, full.body.size())) {
    if (full.short_body.empty()) {
      full = handler_.Refusal(503, "too many requests at once");
      full.headers.emplace_back("Retry-After", kRetryAfter);
    } else {
      full.body = std::string();
      full.fixed_body = full.short_body;
    }
  }
  // The exchange, and the bytes in it, live until the answer is sent.
  const HttpResponse& answer = *exchange.response_;
  const std::string_view body = answer.body.empty() ? answer.fixed_body : answer.body;
  MHD_Response* response = MHD_create_response_from_buffer(
      body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_PERSISTENT);
  if (response == nullptr) return false;
  for (const auto& [name, value] : answer.headers) {
    MHD_add_response_header(response, name, value.c_str());
  }
  const MHD_Result result =
      MHD_queue_response(exchange.connection_, static_cast<unsigned>(answer.status), response);
  MHD_destroy_response(response);
  return result == MHD_YES;
}

void HttpServer::End(HttpExchange* exchange, Connection* connection) {
  if (exchange == nullptr) return;
  delete exchange;
  --under_way_;
  const std::lock_guard lock(mutex_);
  connection->last_request = std::chrono::steady_clock::now();
}

}  // namespace telem
