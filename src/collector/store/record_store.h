// RecordStore: where the collector keeps records. One interface, so that another engine is another
// file.
//
// One thread adds, one thread finds; the two may do so at the same time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "collector/ingest/incoming_record.h"

namespace telem {

// What became of a record that is on disk now.
struct Receipt {
  int64_t id = 0;
  WallTime received;       // when the record, or the one that it is a copy of, came in
  bool was_known = false;  // an identical one was stored before; this one was not stored again
};

struct StoredRecord {
  int64_t id = 0;
  WallTime received;
  std::array<std::optional<std::string>, kHeaderCount> headers;  // nothing: not in its version
  std::string payload;                                           // as it came
  uint64_t payload_size = 0;
};

// Which records are asked for; what is not set does not matter.
struct RecordQuery {
  std::optional<std::string> classification =
      std::nullopt;  // one that ends in `*` means all that start so
  std::optional<int> severity = std::nullopt;
  std::optional<std::string> build = std::nullopt;
  std::optional<std::string> machine_id = std::nullopt;
  std::optional<uint64_t> created_since =
      std::nullopt;                               // creation_timestamp, seconds since the epoch
  std::optional<int64_t> from_id = std::nullopt;  // this id and those after it
  std::optional<int64_t> before_id =
      std::nullopt;  // those before this id: where the last page ended
  int limit = 100;
  bool with_payload = true;
};

// Newest first.
struct RecordPage {
  std::vector<StoredRecord> records;
  std::optional<int64_t> next;  // `before_id` of the page that follows, where one does
  int64_t newest = 0;           // id of the newest record there was, matching or not
};

class RecordStore {
 public:
  virtual ~RecordStore() = default;

  // Commits all of `records` to disk, or none. One receipt each, in their order. kNoSpace, kBusy,
  // kIo: nothing was stored; the same call may succeed later.
  virtual Result<std::vector<Receipt>> Add(std::span<const IncomingRecord> records) = 0;

  // A page ends early, perhaps with no record at all, rather than grow beyond a few MiB or keep
  // others waiting. kTooLarge: it took too long all the same; kBusy: StopFinding was called.
  virtual Result<RecordPage> Find(const RecordQuery& query) = 0;

  // From any thread: makes Find, and each later one, return at once.
  virtual void StopFinding() = 0;
};

}  // namespace telem
