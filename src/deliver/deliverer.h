// Deliverer: sends records in the requests of one protocol and writes a verdict for each to
// standard output.
//
// A protocol with one record a request sends each at once. One with several sends together what was
// handed over since the last Flush(); a request that is refused for good is halved until a single
// record bears the answer, so that no record is rejected for what another one is.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "deliver/http_client.h"
#include "deliver/outgoing_record.h"
#include "record/delivery_codec.h"

namespace telem {

class Deliverer {
 public:
  static constexpr size_t kMaxUnderWay = 10;  // records
  // Bytes of records in one request. In JSON they may become six times as many.
  static constexpr size_t kMaxGathered = size_t{1024} * 1024;

  // `header_lines` go with each request beside the others. kInvalid when a setting cannot be used;
  // the message names it.
  static Result<std::unique_ptr<Deliverer>> Open(const DeliverySettings& settings,
                                                 std::vector<std::string> header_lines);

  // Takes one record; a verdict will follow. Only while there is room.
  void Send(const RecordId& id, std::string_view header_text, std::string_view payload);
  bool HasRoom() const { return under_way_ < kMaxUnderWay; }
  size_t under_way() const { return under_way_; }

  // Nothing more is at hand: sends what was gathered.
  void Flush();

  // Goes on until `input` (or -1) has something to read, something ended, or `wait` is over.
  // Returns whether there is something to read.
  Result<bool> Wait(int input, std::chrono::milliseconds wait);

  // Until nothing is under way.
  Status Finish();

  bool all_accepted() const { return all_accepted_; }

 private:
  struct Target {
    Protocol protocol;
    std::string tidheader;
    std::vector<std::string> header_lines;
  };

  Deliverer(Target target, HttpClient client);

  Result<HttpRequest> MakeRequest(const std::vector<OutgoingRecord>& records) const;
  void Post(std::vector<OutgoingRecord> records);
  void OnAnswer(std::vector<OutgoingRecord> records, const HttpAnswer& answer);
  void Tell(const Verdict& verdict);

  const Target target_;
  HttpClient client_;
  std::vector<OutgoingRecord> gathered_;
  size_t gathered_size_ = 0;
  size_t under_way_ = 0;
  std::string verdicts_;
  bool all_accepted_ = true;
};

}  // namespace telem
