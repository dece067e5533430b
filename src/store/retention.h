// Retention: the payloads of the latest records, one file each in log_dir/records, for
// `telemctl journal -i` and for machines whose records stay at home.
//
// A file is the payload and one newline, named by the record id. Ids are the daemon's own, so no
// record can overwrite another's.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "base/result.h"
#include "record/record_id.h"

namespace telem {

class Retention {
 public:
  // Keeps at most `max_records` payloads in `folder`, which is made when it is first needed.
  Retention(std::string folder, int64_t max_records)
      : folder_(std::move(folder)), max_records_(max_records) {}

  // Writes the payload's file, whole or not at all, and removes the oldest beyond the limit.
  Status Keep(const RecordId& id, std::string_view payload);

  // A payload that is not to be kept after all. One that is not there is no mistake.
  void Remove(const RecordId& id);

  void set_max_records(int64_t max_records) { max_records_ = max_records; }

 private:
  Status ListKept(const RecordId& newest);
  void RemoveOldest();

  std::string folder_;
  int64_t max_records_;
  bool is_listed_ = false;
  std::deque<RecordId> kept_;  // oldest first
};

}  // namespace telem
