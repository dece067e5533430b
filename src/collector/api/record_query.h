// The parameters of `/api/records`.
#pragma once

#include <span>

#include "base/clock.h"
#include "base/result.h"
#include "collector/http/http_field.h"
#include "collector/store/record_store.h"

namespace telem {

inline constexpr int kMaxPageRecords = 1000;

// kInvalid with a sentence that names the parameter and says what is allowed. `now` is what
// created_in_days and created_in_sec count back from.
Result<RecordQuery> ReadRecordQuery(std::span<const HttpField> parameters, WallTime now);

}  // namespace telem
