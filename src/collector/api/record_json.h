// Records and messages as JSON. Foreign bytes always become valid JSON: what is no UTF-8 is taken
// as Latin-1, control characters are escaped.
#pragma once

#include <string>
#include <string_view>

#include "collector/store/record_store.h"

namespace telem {

// {"id": …, "received": …, the fifteen headers, "payload": …}
std::string RecordToJson(const IncomingRecord& record, const Receipt& receipt);

// {"records": […], "next": cursor or null}; without payloads their size alone is given.
std::string PageToJson(const RecordPage& page, bool with_payload);

// {"message": …}
std::string MessageToJson(std::string_view message);

}  // namespace telem
