#include "deliver/http_client.h"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>

#include "base/text.h"

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

// libcurl leaves out a header without a value, unless a semicolon stands in place of the colon
// (CURLOPT_HTTPHEADER(3)).
std::string LineForCurl(const std::string& line) {
  const size_t colon = line.find(':');
  if (!Trim(std::string_view(line).substr(colon + 1)).empty()) return line;
  return line.substr(0, colon) + ';';
}

HeaderList MakeHeaderList(const std::vector<std::string>& lines) {
  curl_slist* list = nullptr;
  for (const std::string& line : lines) list = ::curl_slist_append(list, LineForCurl(line).c_str());
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

}  // namespace

struct HttpClient::Transfer {
  EasyHandle easy;
  HttpRequest request;
  HeaderList headers;
  HttpAnswer answer;
  Done done;
  char trouble[CURL_ERROR_SIZE] = "";
};

struct HttpClient::Curl {
  std::string url;
  std::string ca_file;
  std::unique_ptr<CURLM, CloseMulti> multi;
  std::list<Transfer> active;
  std::list<Transfer> idle;  // handles to use again

  ~Curl() {
    for (Transfer& transfer : active) ::curl_multi_remove_handle(multi.get(), transfer.easy.get());
  }

  std::list<Transfer> TakeTransfer();
  void FinishDone();
};

HttpClient::HttpClient() : curl_(std::make_unique<Curl>()) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<HttpClient> HttpClient::Open(const std::string& url, const std::string& ca_file) {
  if (::curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    return Fail(ErrorCode::kIo, "libcurl cannot be set up");
  }
  HttpClient client;
  client.curl_->url = url;
  client.curl_->ca_file = ca_file;
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
  ::curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, ResetWhenKilled);
  ::curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, CloseInOrder);
  ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(kConnectTime.count()));
  ::curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>(kRequestTime.count()));
  ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, KeepBody);
  ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer.answer.body);
  ::curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.trouble);
  ::curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  ::curl_easy_setopt(easy, CURLOPT_POST, 1L);
  if (!ca_file.empty()) ::curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file.c_str());
  return one;
}

void HttpClient::Post(HttpRequest request, Done done) {
  std::list<Transfer> one = curl_->TakeTransfer();
  if (one.empty()) return done({.trouble = "libcurl: no memory"});
  Transfer& transfer = one.front();
  transfer.request = std::move(request);
  transfer.headers = MakeHeaderList(transfer.request.header_lines);
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
  const size_t before = curl_->active.size();
  curl_->FinishDone();
  // What ended may make room for what came in; the caller decides before anybody sleeps.
  if (curl_->active.size() != before) return false;
  curl_waitfd own{};
  own.fd = fd;
  own.events = CURL_WAIT_POLLIN;
  TELEM_CHECK(check(::curl_multi_poll(curl_->multi.get(), &own, fd >= 0 ? 1 : 0,
                                      static_cast<int>(wait.count()), nullptr)));
  return fd >= 0 && own.revents != 0;
}

void HttpClient::Curl::FinishDone() {
  int left = 0;
  while (const CURLMsg* const message = ::curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    CURL* const easy = message->easy_handle;
    Transfer* transfer = nullptr;
    ::curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    long status = 0;
    curl_off_t retry_after = 0;
    ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    ::curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    HttpAnswer& answer = transfer->answer;
    answer.status = static_cast<uint32_t>(status);
    answer.retry_after = static_cast<uint32_t>(std::clamp<curl_off_t>(retry_after, 0, 86'400));
    if (result != CURLE_OK) {
      answer.trouble =
          transfer->trouble[0] != '\0' ? transfer->trouble : ::curl_easy_strerror(result);
    }
    ::curl_multi_remove_handle(multi.get(), easy);
    const auto at = std::find_if(active.begin(), active.end(),
                                 [&](const Transfer& other) { return &other == transfer; });
    idle.splice(idle.end(), active, at);
    const Done done = std::move(transfer->done);
    done(answer);
  }
}

}  // namespace telem
