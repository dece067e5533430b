// A record on its way out.
#pragma once

#include <string>

#include "record/record_id.h"

namespace telem {

struct OutgoingRecord {
  RecordId id;
  std::string header_text;  // fifteen lines, checked
  std::string payload;

  size_t size() const { return header_text.size() + payload.size(); }
};

}  // namespace telem
