// RecordBuilder: one record from its creation to the bytes that travel.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "client/host_facts.h"

namespace telem {

class RecordBuilder {
 public:
  // `severity` is clamped to 1..4. `now` becomes the creation time; the event id is a random one.
  // `host` outlives the builder. kInvalid when the classification is not valid.
  static Result<RecordBuilder> Create(uint32_t severity, std::string_view classification,
                                      uint32_t payload_version, const HostFacts& host,
                                      WallTime now);

  // Exactly 32 lower-case hex digits, else kInvalid.
  Status SetEventId(std::string_view event_id);

  // At most kMaxPayload bytes, else kTooLarge.
  Status SetPayload(std::string_view payload);

  // The fifteen header lines. The machine id is the daemon's to fill in.
  std::string HeaderText() const;

  const std::string& payload() const { return payload_; }

 private:
  explicit RecordBuilder(const HostFacts& host) : host_(&host) {}

  const HostFacts* host_;
  std::string classification_;
  std::string event_id_;
  std::string payload_;
  int64_t created_ = 0;  // seconds since the epoch
  uint32_t payload_version_ = 0;
  uint32_t severity_ = 0;
};

}  // namespace telem
