#include "deliver/deliverer.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "deliver/answer.h"
#include "deliver/otlp_protocol.h"
#include "deliver/v2_protocol.h"
#include "deliver/v3_protocol.h"
#include "record/headers.h"
#include "record/http_codec.h"

namespace telem {
namespace {

std::unexpected<Error> BadSetting(std::string_view name, std::string_view value,
                                  std::string_view what) {
  return Fail(ErrorCode::kInvalid, std::string(name) + ": '" + PrintableAscii(value, 80) +
                                       "' is not " + std::string(what));
}

Status CheckHeaderText(std::string_view text) {
  TELEM_TRY(const HeaderViews headers, SplitHeaders(text));
  return CheckHeaders(headers);
}

// What a verdict tells of the answer.
std::string TextOf(const HttpAnswer& answer, Outcome outcome, Protocol protocol) {
  if (outcome == Outcome::kAccepted) {  // all is said, unless the server has something against it
    return protocol == Protocol::kOtlp ? PartialSuccessOf(answer.body) : "";
  }
  if (answer.status != 0) {
    if (std::string words = WordsOf(answer.body); !words.empty()) return words;
    if (!answer.reason.empty()) return answer.reason;
  }
  return answer.trouble;
}

}  // namespace

Deliverer::Deliverer(Target target, HttpClient client)
    : target_(std::move(target)), client_(std::move(client)) {}

Result<std::unique_ptr<Deliverer>> Deliverer::Open(const DeliverySettings& settings,
                                                   std::vector<std::string> header_lines) {
  const auto protocol = FindProtocol(settings.server_protocol);
  if (!protocol) {
    return BadSetting("protocol", settings.server_protocol, "v2, v3 or otlp");
  }
  if (!IsServerUrl(settings.server)) {
    return BadSetting("server", settings.server, "an http:// or https:// URL");
  }
  for (const std::string& line : header_lines) {
    if (!IsHttpHeaderLine(line)) return BadSetting("header", line, "one header line 'Name: value'");
  }
  if (!IsHttpHeaderLine(settings.tidheader)) {
    return BadSetting("tidheader", settings.tidheader, "one header line 'Name: value'");
  }
  const bool is_otlp = protocol == Protocol::kOtlp;
  if (is_otlp) {
    auto more = ParseOtlpHeaders(settings.otlp_headers);
    if (!more) return Fail(ErrorCode::kInvalid, "otlp_headers: not name=value,name=value");
    std::move(more->begin(), more->end(), std::back_inserter(header_lines));
  }
  TELEM_TRY(auto client,
            HttpClient::Open({.url = is_otlp ? OtlpUrl(settings.server) : settings.server,
                              .ca_file = settings.cainfo,
                              .client_cert = settings.clientcert,
                              .client_key = settings.clientkey,
                              .proxy = settings.proxy}));
  // Its requests under way point to it, so it stays where it is.
  return std::unique_ptr<Deliverer>(new Deliverer({.protocol = *protocol,
                                                   .tidheader = settings.tidheader,
                                                   .header_lines = std::move(header_lines)},
                                                  std::move(client)));
}

void Deliverer::Send(const RecordId& id, std::string_view header_text, std::string_view payload) {
  ++under_way_;
  // Before it comes near others: what is no record is refused alone.
  if (const Status good = CheckHeaderText(header_text); !good) {
    return Tell({.id = id, .outcome = Outcome::kRefused, .text = good.error().message});
  }
  OutgoingRecord record{id, std::string(header_text), std::string(payload)};
  const bool takes_several = target_.protocol == Protocol::kOtlp;
  if (takes_several && gathered_size_ + record.size() > kMaxGathered) Flush();
  gathered_size_ += record.size();
  gathered_.push_back(std::move(record));
  if (!takes_several) Flush();
}

void Deliverer::Flush() {
  if (gathered_.empty()) return;
  gathered_size_ = 0;
  Post(std::exchange(gathered_, {}));
}

Result<HttpRequest> Deliverer::MakeRequest(const std::vector<OutgoingRecord>& records) const {
  switch (target_.protocol) {
    case Protocol::kV2:
      return MakeV2Request(records.front(), target_.tidheader);
    case Protocol::kV3:
      return MakeV3Request(records.front(), target_.tidheader);
    case Protocol::kOtlp:
      break;
  }
  return MakeOtlpRequest(records, target_.tidheader);
}

void Deliverer::Post(std::vector<OutgoingRecord> records) {
  auto request = MakeRequest(records);
  if (!request) {  // the headers are good, so it is this machine's memory
    for (const OutgoingRecord& record : records) {
      Tell({.id = record.id, .outcome = Outcome::kLater, .text = request.error().message});
    }
    return;
  }
  request->header_lines.insert(request->header_lines.end(), target_.header_lines.begin(),
                               target_.header_lines.end());
  client_.Post(std::move(*request),
               [this, records = std::move(records)](const HttpAnswer& answer) mutable {
                 OnAnswer(std::move(records), answer);
               });
}

void Deliverer::OnAnswer(std::vector<OutgoingRecord> records, const HttpAnswer& answer) {
  const Outcome outcome = OutcomeOf(answer.status, target_.protocol);
  if (outcome == Outcome::kRefused && records.size() > 1) {
    const auto middle = records.begin() + static_cast<ptrdiff_t>(records.size() / 2);
    std::vector<OutgoingRecord> second(std::make_move_iterator(middle),
                                       std::make_move_iterator(records.end()));
    records.erase(middle, records.end());
    Post(std::move(records));
    Post(std::move(second));
    return;
  }
  const std::string text = TextOf(answer, outcome, target_.protocol);
  for (const OutgoingRecord& record : records) {
    Tell({.id = record.id,
          .outcome = outcome,
          .code = answer.status,
          .retry_after = answer.retry_after,
          .text = text});
  }
}

void Deliverer::Tell(const Verdict& verdict) {
  --under_way_;
  if (verdict.outcome != Outcome::kAccepted) all_accepted_ = false;
  AppendVerdict(verdicts_, verdict);
}

Result<bool> Deliverer::Wait(int input, std::chrono::milliseconds wait) {
  if (!verdicts_.empty()) wait = {};  // these are to be told now
  TELEM_TRY(const bool is_readable, client_.Wait(input, wait));
  TELEM_CHECK(WriteAll(STDOUT_FILENO, verdicts_));
  verdicts_.clear();
  return is_readable;
}

Status Deliverer::Finish() {
  Flush();
  while (under_way_ > 0 || !verdicts_.empty()) TELEM_CHECK(Wait(-1, HttpClient::kRequestTime));
  return {};
}

}  // namespace telem
