#include "deliver/http_client.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>

#include "base/text.h"
#include "deliver/retry_after.h"

namespace telem {
namespace {

struct CloseEasy {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
struct CloseMulti {
  void operator()(CURLM* multi) const { ::curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using EasyHandle = std::unique_ptr<CURL, CloseEasy>;
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

// Names of HTTP headers have no case.
bool IsSameHeader(std::string_view a, std::string_view b) {
  const auto fold = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return fold(x) == fold(y); });
}

// libcurl leaves out a header without a value, unless a semicolon stands in place of the colon
// (CURLOPT_HTTPHEADER(3)).
curl_slist* AppendLine(curl_slist* list, const std::string& line) {
  const size_t colon = line.find(':');
  if (Trim(std::string_view(line).substr(colon + 1)).empty()) {
    return ::curl_slist_append(list, (line.substr(0, colon) + ';').c_str());
  }
  return ::curl_slist_append(list, line.c_str());
}

HeaderList MakeHeaderList(const std::vector<std::string>& lines) {
  // Without its value libcurl leaves it out: a large body would wait a second for servers that do
  // not know it.
  curl_slist* list = ::curl_slist_append(nullptr, "Expect:");
  for (const std::string& line : lines) list = AppendLine(list, line);
  return HeaderList(list);
}

// A process that ends in the middle of a request takes back what the kernel still holds of it:
// closing resets the connection. That is how opting out cuts a transfer (caller_watch.h), whatever
// kills this process.
int ResetWhenKilled(void* /*unused*/, curl_socket_t fd, curlsocktype /*unused*/) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return CURL_SOCKOPT_OK;
}

// What libcurl closes itself ends in order.
int CloseInOrder(void* /*unused*/, curl_socket_t fd) {
  const linger off{};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
  return ::close(fd);
}

size_t KeepBody(char* bytes, size_t size, size_t count, void* to) {
  auto* const body = static_cast<std::string*>(to);
  const size_t room = HttpClient::kMaxBody - body->size();
  body->append(bytes, std::min(room, size * count));
  return size * count;  // the rest is read and forgotten, so that the connection can be kept
}

// What counts of the lines in front of the body.
struct AnswerHead {
  size_t size = 0;  // of all of them, those of interim answers (100 Continue) too
  std::string reason;
  std::string retry_after;
  std::string date;

  void Take(std::string_view line);
};

void AnswerHead::Take(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    reason.clear();
    retry_after.clear();
    date.clear();
    TakeUntil(line, ' ');
    TakeUntil(line, ' ');
    reason = Trim(line);
    return;
  }
  const std::string_view name = TakeUntil(line, ':');
  if (IsSameHeader(name, "Retry-After")) retry_after = Trim(line);
  if (IsSameHeader(name, "Date")) date = Trim(line);
}

size_t KeepHeader(char* bytes, size_t size, size_t count, void* to) {
  auto* const head = static_cast<AnswerHead*>(to);
  head->size += size * count;
  if (head->size > HttpClient::kMaxHeaders) return 0;  // ends the request
  head->Take(std::string_view(bytes, size * count));
  return size * count;
}

}  // namespace

struct HttpClient::Transfer {
  EasyHandle easy;
  HttpRequest request;
  HeaderList headers;
  AnswerHead head;
  HttpAnswer answer;
  Done done;
  char trouble[CURL_ERROR_SIZE] = "";

  // The answer, once libcurl has ended with `result`.
  HttpAnswer TakeAnswer(CURLcode result);
};

struct HttpClient::Curl {
  HttpTarget target;
  std::unique_ptr<CURLM, CloseMulti> multi;
  std::list<Transfer> active;
  std::list<Transfer> idle;  // handles to use again

  ~Curl() {
    for (Transfer& transfer : active) ::curl_multi_remove_handle(multi.get(), transfer.easy.get());
  }

  std::list<Transfer> TakeTransfer();
  bool FinishDone();
};

HttpClient::HttpClient() : curl_(std::make_unique<Curl>()) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<HttpClient> HttpClient::Open(HttpTarget target) {
  if (::curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Fail(ErrorCode::kIo, "libcurl cannot be set up");
  }
  HttpClient client;
  client.curl_->target = std::move(target);
  client.curl_->multi.reset(::curl_multi_init());
  if (client.curl_->multi == nullptr) return Fail(ErrorCode::kNoSpace, "libcurl: no memory");
  // By itself it keeps four times as many as are in use at the moment, and opens the others anew.
  ::curl_multi_setopt(client.curl_->multi.get(), CURLMOPT_MAXCONNECTS, kMaxConnections);
  return client;
}

// A list of one, to be spliced.
std::list<HttpClient::Transfer> HttpClient::Curl::TakeTransfer() {
  std::list<Transfer> one;
  if (!idle.empty()) {
    one.splice(one.end(), idle, idle.begin());
    return one;
  }
  Transfer& transfer = one.emplace_back();
  transfer.easy.reset(::curl_easy_init());
  CURL* const easy = transfer.easy.get();
  if (easy == nullptr) return {};
  const auto set = [easy](CURLoption which, auto value) { ::curl_easy_setopt(easy, which, value); };
  const auto set_if = [&](CURLoption which, const std::string& value) {
    if (!value.empty()) set(which, value.c_str());
  };
  set(CURLOPT_URL, target.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_SOCKOPTFUNCTION, ResetWhenKilled);
  set(CURLOPT_CLOSESOCKETFUNCTION, CloseInOrder);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(kConnectTime.count()));
  set(CURLOPT_TIMEOUT, static_cast<long>(kRequestTime.count()));
  // Rather wait for the connection that is being made, which may take all requests at once
  // (HTTP/2), than make ten.
  set(CURLOPT_PIPEWAIT, 1L);
  set(CURLOPT_WRITEFUNCTION, KeepBody);
  set(CURLOPT_WRITEDATA, &transfer.answer.body);
  set(CURLOPT_HEADERFUNCTION, KeepHeader);
  set(CURLOPT_HEADERDATA, &transfer.head);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_ERRORBUFFER, transfer.trouble);
  set(CURLOPT_PRIVATE, &transfer);
  set(CURLOPT_POST, 1L);
  set_if(CURLOPT_CAINFO, target.ca_file);
  set_if(CURLOPT_SSLCERT, target.client_cert);
  set_if(CURLOPT_SSLKEY, target.client_key);
  set_if(CURLOPT_PROXY, target.proxy);
  return one;
}

void HttpClient::Post(HttpRequest request, Done done) {
  std::list<Transfer> one = curl_->TakeTransfer();
  if (one.empty()) return done({.trouble = "libcurl: no memory"});
  Transfer& transfer = one.front();
  transfer.request = std::move(request);
  transfer.headers = MakeHeaderList(transfer.request.header_lines);
  transfer.head = {};
  transfer.answer = {};
  transfer.done = std::move(done);
  transfer.trouble[0] = '\0';
  CURL* const easy = transfer.easy.get();
  const std::string& body = transfer.request.body;
  ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
  if (const CURLMcode code = ::curl_multi_add_handle(curl_->multi.get(), easy); code != CURLM_OK) {
    return transfer.done({.trouble = ::curl_multi_strerror(code)});
  }
  curl_->active.splice(curl_->active.end(), one);
}

size_t HttpClient::under_way() const { return curl_->active.size(); }

Result<bool> HttpClient::Wait(int fd, std::chrono::milliseconds wait) {
  const auto check = [](CURLMcode code) -> Status {
    if (code == CURLM_OK) return {};
    return Fail(ErrorCode::kIo, std::string("libcurl: ") + ::curl_multi_strerror(code));
  };
  int running = 0;
  TELEM_CHECK(check(::curl_multi_perform(curl_->multi.get(), &running)));
  // What ended may make room for what came in; the caller decides before anybody sleeps.
  if (curl_->FinishDone()) return false;
  curl_waitfd own{};
  own.fd = fd;
  own.events = CURL_WAIT_POLLIN;
  TELEM_CHECK(check(::curl_multi_poll(curl_->multi.get(), &own, fd >= 0 ? 1 : 0,
                                      static_cast<int>(wait.count()), nullptr)));
  return fd >= 0 && own.revents != 0;
}

HttpAnswer HttpClient::Transfer::TakeAnswer(CURLcode result) {
  long status = 0;
  long proxys_status = 0;
  ::curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  ::curl_easy_getinfo(easy.get(), CURLINFO_HTTP_CONNECTCODE, &proxys_status);
  if (status < 200) status = 0;  // an interim answer (100 Continue) says nothing yet
  // Of a proxy that opened no way to the server only this one concerns the operator; whatever else
  // it says is not said about the request.
  constexpr long kProxyAuthenticationRequired = 407;
  if (status == 0 && proxys_status == kProxyAuthenticationRequired) status = proxys_status;
  answer.status = static_cast<uint32_t>(status);
  answer.reason = std::move(head.reason);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  answer.retry_after = ParseRetryAfter(head.retry_after, head.date, now);
  if (result != CURLE_OK) {
    answer.trouble = trouble[0] != '\0' ? trouble : ::curl_easy_strerror(result);
  }
  return std::move(answer);
}

// Returns whether anything had ended.
bool HttpClient::Curl::FinishDone() {
  bool any = false;
  int left = 0;
  while (const CURLMsg* const message = ::curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    any = true;
    const CURLcode result = message->data.result;
    CURL* const easy = message->easy_handle;
    Transfer* transfer = nullptr;
    ::curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    const HttpAnswer answer = transfer->TakeAnswer(result);
    ::curl_multi_remove_handle(multi.get(), easy);
    const auto at = std::find_if(active.begin(), active.end(),
                                 [&](const Transfer& other) { return &other == transfer; });
    // A body may be large, the handle waits for its next use without one.
    std::string().swap(transfer->request.body);
    const Done done = std::move(transfer->done);
    idle.splice(idle.end(), active, at);
    done(answer);
  }
  return any;
}

}  // namespace telem
