#include "collector/collector.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "collector/api/record_json.h"
#include "collector/api/record_query.h"
#include "collector/ingest/v2_request.h"
#include "record/http_codec.h"
#include "web_assets.h"

namespace telem {
namespace {

// Payloads are foreign text: the page may run our script and style, talk to us, and nothing else.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

HttpResponse JsonResponse(int status, std::string body) {
  return {.status = status,
          .body = std::move(body),
          .fixed_body = {},
          .headers = {{"Content-Type", "application/json"},
                      {"Cache-Control", "no-store"},
                      {"X-Content-Type-Options", "nosniff"}}};
}

HttpResponse MessageResponse(int status, std::string_view message) {
  return JsonResponse(status, MessageToJson(message));
}

// In seconds: for what may work in a moment, and for what takes somebody to repair it. A fleet that
// asks a full disk every moment would fill its log and network as well.
constexpr const char* kInAMoment = "2";
constexpr const char* kInAWhile = "60";

HttpResponse TryLater(std::string_view message, const char* retry_after = kInAMoment) {
  HttpResponse response = MessageResponse(503, message);
  response.headers.emplace_back("Retry-After", retry_after);
  return response;
}

HttpResponse NotAllowed(const char* allowed) {
  HttpResponse response = MessageResponse(405, std::string("this path takes ") + allowed + " only");
  response.headers.emplace_back("Allow", allowed);
  return response;
}

std::string_view HeaderValue(const HttpExchange& exchange, std::string_view name) {
  for (const HttpField& field : exchange.headers()) {
    if (SameHttpName(field.name, name)) return Trim(field.value);
  }
  return {};
}

HttpResponse AssetResponse(const HttpExchange& exchange, const WebAsset& asset) {
  HttpResponse response{.status = 200,
                        .body = {},
                        .fixed_body = asset.bytes,
                        .headers = {{"Content-Type", asset.content_type},
                                    {"ETag", asset.etag},
                                    {"Cache-Control", "no-cache"},
                                    {"Content-Security-Policy", kPagePolicy},
                                    {"X-Content-Type-Options", "nosniff"},
                                    {"Referrer-Policy", "no-referrer"}}};
  if (HeaderValue(exchange, "If-None-Match").contains(asset.etag)) {
    response.status = 304;
    response.fixed_body = {};
  }
  return response;
}

bool IsGet(const HttpExchange& exchange) {
  return exchange.method() == "GET" || exchange.method() == "HEAD";
}

HttpResponse RecordResponse(const IncomingRecord& record, const Result<Receipt>& receipt) {
  if (receipt) {
    HttpResponse response =
        JsonResponse(receipt->was_known ? 200 : 201, RecordToJson(record, *receipt));
    // It is stored whatever the answer looks like, and must not come again.
    response.short_body = R"({"message":"stored"})";
    return response;
  }
  return TryLater(receipt.error().code == ErrorCode::kNoSpace
                      ? "there is no space to store records"
                      : "the store cannot be written at the moment",
                  receipt.error().code == ErrorCode::kBusy ? kInAMoment : kInAWhile);
}

HttpResponse PageResponse(const Result<RecordPage>& page, bool with_payload) {
  if (page) return JsonResponse(200, PageToJson(*page, with_payload));
  switch (page.error().code) {
    case ErrorCode::kTooLarge:
      return MessageResponse(503, "the search took too long; narrow it down");
    case ErrorCode::kBusy:
      return TryLater("too busy to search");
    default:
      return TryLater("the store cannot be read at the moment");
  }
}

}  // namespace

std::optional<HttpResponse> Collector::Handle(HttpExchange& exchange) {
  const std::string_view path = exchange.path();
  if (path == "/v2/collector" || (path == "/" && exchange.method() == "POST")) {
    if (exchange.method() != "POST") return NotAllowed("POST");
    return TakeRecord(exchange);
  }
  const auto assets = WebAssets();
  const auto asset =
      std::find_if(assets.begin(), assets.end(), [&](const WebAsset& a) { return a.path == path; });
  if (asset != assets.end()) {
    if (!IsGet(exchange)) return NotAllowed(path == "/" ? "GET, HEAD, POST" : "GET, HEAD");
    return AssetResponse(exchange, *asset);
  }
  if (path == "/api/records") {
    if (!IsGet(exchange)) return NotAllowed("GET, HEAD");
    return ShowRecords(exchange);
  }
  if (path == "/healthz") {
    if (!IsGet(exchange)) return NotAllowed("GET, HEAD");
    return ShowHealth();
  }
  return MessageResponse(404, "there is nothing here");
}

HttpResponse Collector::Refusal(int status, std::string_view message) {
  return MessageResponse(status, message);
}

std::optional<HttpResponse> Collector::TakeRecord(HttpExchange& exchange) {
  const std::string_view encoding = HeaderValue(exchange, "Content-Encoding");
  if (!encoding.empty() && encoding != "identity") {
    return MessageResponse(415, "Content-Encoding: payloads are taken as they are only");
  }
  const Result<IncomingRecord> record =
      ReadV2Request(exchange.headers(), exchange.body(), tids_, clock_.Now());
  if (!record) return MessageResponse(400, record.error().message);
  exchange.Defer();
  const bool was_taken = writer_.Submit(
      *record, [&exchange](const IncomingRecord& stored, const Result<Receipt>& receipt) {
        exchange.Finish(RecordResponse(stored, receipt));
      });
  if (!was_taken) exchange.Finish(TryLater("too many records at once"));
  return std::nullopt;
}

std::optional<HttpResponse> Collector::ShowRecords(HttpExchange& exchange) {
  Result<RecordQuery> query = ReadRecordQuery(exchange.parameters(), clock_.Now());
  if (!query) return MessageResponse(400, query.error().message);
  const bool with_payload = query->with_payload;
  exchange.Defer();
  const bool was_taken =
      reader_.Submit(*std::move(query), [&exchange, with_payload](const Result<RecordPage>& page) {
        exchange.Finish(PageResponse(page, with_payload));
      });
  if (!was_taken) exchange.Finish(TryLater("too many searches at once"));
  return std::nullopt;
}

HttpResponse Collector::ShowHealth() const {
  if (const std::optional<Error> failure = writer_.RecentFailure()) {
    return TryLater("the last record could not be stored: " + failure->message);
  }
  return MessageResponse(200, "ok");
}

}  // namespace telem
