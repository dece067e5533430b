#include "collector/store/migrations.h"

#include <array>
#include <string>

#include "base/text.h"

namespace telem {
namespace {

// "telm": tells our store from any other SQLite file, in `file` too.
constexpr int64_t kApplicationId = 0x74656c6d;

// A step that was released is never changed; what comes later is a further step.
constexpr std::array kMigrations = {
    // The index on creation time finds copies and answers "created since"; records come in roughly
    // by time, so it grows at its end. The digest of the record comes from SipHash under this
    // store's own key (sqlite_store.cc).
    "CREATE TABLE records ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  received INTEGER NOT NULL,"  // milliseconds since the epoch
    "  record_format_version TEXT NOT NULL,"
    "  classification TEXT NOT NULL,"
    "  severity TEXT NOT NULL,"
    "  machine_id TEXT NOT NULL,"
    "  creation_timestamp INTEGER NOT NULL,"  // seconds since the epoch
    "  arch TEXT NOT NULL,"
    "  host_type TEXT,"
    "  build TEXT NOT NULL,"
    "  kernel_version TEXT NOT NULL,"
    "  payload_format_version TEXT NOT NULL,"
    "  system_name TEXT NOT NULL,"
    "  board_name TEXT,"
    "  cpu_model TEXT,"
    "  bios_version TEXT,"
    "  event_id TEXT,"
    "  digest INTEGER NOT NULL,"
    "  payload BLOB NOT NULL"
    ") STRICT;"
    "CREATE INDEX records_by_creation ON records (creation_timestamp, digest);"
    "CREATE INDEX records_by_machine ON records (machine_id);"
    "CREATE INDEX records_by_classification ON records (classification);"
    "CREATE TABLE digest_key (bytes BLOB NOT NULL) STRICT;"
    "INSERT INTO digest_key VALUES (randomblob(16));",
};

std::string Number(int64_t value) {
  std::string text;
  AppendSigned(text, value);
  return text;
}

Status ApplyMissing(SqliteDatabase& database, std::span<const char* const> migrations) {
  TELEM_TRY(const int64_t version, database.QueryInteger("PRAGMA user_version"));
  TELEM_TRY(const int64_t application, database.QueryInteger("PRAGMA application_id"));
  TELEM_TRY(const int64_t objects, database.QueryInteger("SELECT count(*) FROM sqlite_schema"));
  if (application != kApplicationId && (objects > 0 || version != 0 || application != 0)) {
    return Fail(ErrorCode::kInvalid, "this database is something else than a store of records");
  }
  const auto newest = static_cast<int64_t>(migrations.size());
  if (version > newest || version < 0) {
    return Fail(ErrorCode::kInvalid, "the store has schema version " + Number(version) +
                                         ", this program knows versions up to " + Number(newest));
  }
  for (int64_t step = version; step < newest; ++step) {
    if (auto status = database.Execute(migrations[static_cast<size_t>(step)]); !status) {
      return WithContext("migration " + Number(step + 1), std::move(status.error()));
    }
  }
  TELEM_CHECK(database.Execute(("PRAGMA application_id = " + Number(kApplicationId)).c_str()));
  return database.Execute(("PRAGMA user_version = " + Number(newest)).c_str());
}

}  // namespace

std::span<const char* const> StoreMigrations() { return kMigrations; }

Status Migrate(SqliteDatabase& database, std::span<const char* const> migrations) {
  TELEM_CHECK(database.Execute("BEGIN IMMEDIATE"));
  Status status = ApplyMissing(database, migrations);
  if (status) status = database.Execute("COMMIT");
  if (!status) database.RollBack();
  return status;
}

}  // namespace telem
