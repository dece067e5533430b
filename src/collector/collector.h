// Collector: what each path and method of the HTTP interface does (docs/collector.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "collector/http/http_server.h"
#include "collector/store/record_reader.h"
#include "collector/store/record_writer.h"

namespace telem {

class Collector final : public HttpHandler {
 public:
  // All arguments outlive the collector.
  Collector(const std::vector<std::string>& tids, RecordWriter& writer, RecordReader& reader,
            const Clock& clock)
      : tids_(tids), writer_(writer), reader_(reader), clock_(clock) {}

  std::optional<HttpResponse> Handle(HttpExchange& exchange) override;
  HttpResponse Refusal(int status, std::string_view message) override;

 private:
  std::optional<HttpResponse> TakeRecord(HttpExchange& exchange);
  std::optional<HttpResponse> ShowRecords(HttpExchange& exchange);
  HttpResponse ShowHealth() const;

  const std::vector<std::string>& tids_;
  RecordWriter& writer_;
  RecordReader& reader_;
  const Clock& clock_;
};

}  // namespace telem
