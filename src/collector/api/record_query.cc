#include "collector/api/record_query.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxFilter = 250;  // no value that is stored is longer

std::unexpected<Error> Bad(std::string_view name, std::string_view what) {
  std::string message = PrintableAscii(name, 40);
  message += ": ";
  message += what;
  return Fail(ErrorCode::kInvalid, std::move(message));
}

Result<uint64_t> ReadNumber(const HttpField& field, uint64_t low, uint64_t high) {
  const std::optional<uint64_t> number = ParseUnsigned(field.value);
  if (number && *number >= low && *number <= high) return *number;
  std::string what = "not a number from ";
  AppendUnsigned(what, low);
  what += " to ";
  AppendUnsigned(what, high);
  return Bad(field.name, what);
}

Status ReadText(const HttpField& field, std::optional<std::string>& out) {
  if (field.value.empty() || field.value.size() > kMaxFilter || !IsPrintableAscii(field.value)) {
    return Bad(field.name, "not 1 to 250 printable ASCII characters");
  }
  out = field.value;
  return {};
}

// Ids and times are signed 64-bit numbers in the store.
constexpr uint64_t kMaxId = INT64_MAX - 1;
constexpr uint64_t kMaxTime = INT64_MAX / 1000;

class QueryReader {
 public:
  explicit QueryReader(WallTime now)
      : now_(static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count())) {}

  Status Read(const HttpField& field) {
    const std::string_view name = field.name;
    if (name == "classification") return ReadText(field, query_.classification);
    if (name == "build") return ReadText(field, query_.build);
    if (name == "machine_id") return ReadText(field, query_.machine_id);
    if (name == "severity") {
      TELEM_TRY(const uint64_t severity, ReadNumber(field, 1, 4));
      query_.severity = static_cast<int>(severity);
    } else if (name == "created_in_days") {
      TELEM_TRY(const uint64_t days, ReadNumber(field, 1, 36'500));
      CreatedSince(now_ - std::min(now_, days * 86'400));
    } else if (name == "created_in_sec") {
      TELEM_TRY(const uint64_t seconds, ReadNumber(field, 1, kMaxTime));
      CreatedSince(now_ - std::min(now_, seconds));
    } else if (name == "ts_capture") {
      TELEM_TRY(const uint64_t time, ReadNumber(field, 0, kMaxTime));
      CreatedSince(time);
    } else if (name == "from_id") {
      TELEM_TRY(const uint64_t id, ReadNumber(field, 0, kMaxId));
      query_.from_id = static_cast<int64_t>(id);
    } else if (name == "cursor") {
      TELEM_TRY(const uint64_t id, ReadNumber(field, 0, kMaxId));
      query_.before_id = static_cast<int64_t>(id);
    } else if (name == "limit") {
      TELEM_TRY(const uint64_t limit, ReadNumber(field, 1, kMaxPageRecords));
      query_.limit = static_cast<int>(limit);
    } else if (name == "payload") {
      if (field.value != "true" && field.value != "false") return Bad(name, "not true or false");
      query_.with_payload = field.value == "true";
    } else {
      return Bad(name, "no parameter of /api/records");
    }
    return {};
  }

  RecordQuery Take() { return std::move(query_); }

 private:
  // Several of the three: all of them hold.
  void CreatedSince(uint64_t time) {
    query_.created_since = std::max(time, query_.created_since.value_or(0));
  }

  uint64_t now_;
  RecordQuery query_;
};

}  // namespace

Result<RecordQuery> ReadRecordQuery(std::span<const HttpField> parameters, WallTime now) {
  QueryReader reader(now);
  for (auto field = parameters.begin(); field != parameters.end(); ++field) {
    TELEM_CHECK(reader.Read(*field));
    const auto is_same = [&](const HttpField& other) { return other.name == field->name; };
    if (std::any_of(parameters.begin(), field, is_same)) return Bad(field->name, "given twice");
  }
  return reader.Take();
}

}  // namespace telem
