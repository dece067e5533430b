#include "collector/store/sqlite_database.h"

#include <sqlite3.h>

#include <chrono>
#include <system_error>
#include <utility>

namespace telem {
namespace {

// How long another process may hold the store before we say that it is busy.
constexpr std::chrono::milliseconds kBusyTimeout{2000};

std::unexpected<Error> SqliteError(sqlite3* database, int code) {
  ErrorCode reaction = ErrorCode::kIo;
  switch (code & 0xff) {
    case SQLITE_FULL:
      reaction = ErrorCode::kNoSpace;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      reaction = ErrorCode::kBusy;
      break;
    case SQLITE_INTERRUPT:
      reaction = ErrorCode::kTooLarge;
      break;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      reaction = ErrorCode::kDenied;
      break;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      reaction = ErrorCode::kInvalid;
      break;
    default:
      break;
  }
  Error error{.code = reaction, .err = 0, .message = sqlite3_errstr(code)};
  if (database != nullptr) error.message = sqlite3_errmsg(database);
  const bool is_systems = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
  if (database != nullptr && is_systems && sqlite3_system_errno(database) != 0) {
    error.err = sqlite3_system_errno(database);
    error.code = CodeFromErrno(error.err);
    error.message += " (" + std::generic_category().message(error.err) + ")";
  }
  return std::unexpected(std::move(error));
}

// SQLite takes a null pointer for NULL, and an empty view may have one.
const char* DataOf(std::string_view value) { return value.data() != nullptr ? value.data() : ""; }

}  // namespace

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

SqliteStatement& SqliteStatement::operator=(SqliteStatement&& other) noexcept {
  std::swap(statement_, other.statement_);
  return *this;
}

void SqliteStatement::BindInteger(int parameter, int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
}

void SqliteStatement::BindText(int parameter, std::string_view value) {
  sqlite3_bind_text64(statement_, parameter, DataOf(value), value.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void SqliteStatement::BindBlob(int parameter, std::string_view value) {
  sqlite3_bind_blob64(statement_, parameter, DataOf(value), value.size(), SQLITE_STATIC);
}

void SqliteStatement::BindNull(int parameter) { sqlite3_bind_null(statement_, parameter); }

Result<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(statement_), code);
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string_view SqliteStatement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return bytes != nullptr ? std::string_view(static_cast<const char*>(bytes), size)
                          : std::string_view();
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(database_); }

SqliteDatabase::SqliteDatabase(SqliteDatabase&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

SqliteDatabase& SqliteDatabase::operator=(SqliteDatabase&& other) noexcept {
  std::swap(database_, other.database_);
  return *this;
}

Result<SqliteDatabase> SqliteDatabase::Open(const std::string& path, Access access) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                    (access == Access::kReadOnly ? SQLITE_OPEN_READONLY
                                                 : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  SqliteDatabase database;
  const int code = sqlite3_open_v2(path.c_str(), &database.database_, flags, nullptr);
  if (code != SQLITE_OK) return SqliteError(database.database_, code);
  sqlite3_extended_result_codes(database.database_, 1);
  sqlite3_busy_timeout(database.database_, static_cast<int>(kBusyTimeout.count()));
  return database;
}

Result<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteError(database_, code);
  return SqliteStatement(statement);
}

Status SqliteDatabase::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return SqliteError(database_, code);
  return {};
}

Result<int64_t> SqliteDatabase::QueryInteger(std::string_view sql) {
  TELEM_TRY(SqliteStatement statement, Prepare(sql));
  TELEM_TRY(const bool has_row, statement.Step());
  return has_row ? statement.Integer(0) : 0;
}

int64_t SqliteDatabase::LastInsertedId() const { return sqlite3_last_insert_rowid(database_); }

bool SqliteDatabase::IsAtItsPath() const {
  int has_moved = 0;
  sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
  return has_moved == 0;
}

void SqliteDatabase::RollBack() {
  if (sqlite3_get_autocommit(database_) == 0) {
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void SqliteDatabase::SetProgressCallback(int steps, int (*callback)(void*), void* context) {
  sqlite3_progress_handler(database_, steps, callback, context);
}

}  // namespace telem
