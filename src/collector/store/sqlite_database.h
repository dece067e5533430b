// The seam to SQLite: a connection and its prepared statements, with errors as Results.
//
// A connection and its statements belong to one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace telem {

// A prepared statement: Bind…, Step until it says false, Reset.
class SqliteStatement {
 public:
  SqliteStatement() = default;
  ~SqliteStatement();
  SqliteStatement(SqliteStatement&& other) noexcept;
  SqliteStatement& operator=(SqliteStatement&& other) noexcept;

  // Parameters count from 1. Bytes stay the caller's and must last until Reset.
  void BindInteger(int parameter, int64_t value);
  void BindText(int parameter, std::string_view value);
  void BindBlob(int parameter, std::string_view value);
  void BindNull(int parameter);

  // Whether there is a (further) row.
  Result<bool> Step();

  // For the next use, without its parameters.
  void Reset();

  // Of the current row; columns count from 0. Text and blob last until the next Step.
  int64_t Integer(int column) const;
  std::string_view Bytes(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteDatabase;
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  sqlite3_stmt* statement_ = nullptr;
};

class SqliteDatabase {
 public:
  enum class Access { kReadWriteCreate, kReadOnly };

  SqliteDatabase() = default;
  ~SqliteDatabase();
  SqliteDatabase(SqliteDatabase&& other) noexcept;
  SqliteDatabase& operator=(SqliteDatabase&& other) noexcept;

  static Result<SqliteDatabase> Open(const std::string& path, Access access);

  Result<SqliteStatement> Prepare(std::string_view sql);

  // Runs statements that give no rows worth looking at.
  Status Execute(const char* sql);

  // The first column of the first row of a statement without parameters.
  Result<int64_t> QueryInteger(std::string_view sql);

  int64_t LastInsertedId() const;

  // Whether the file that was opened is still the one at its path.
  bool IsAtItsPath() const;

  // Ends a transaction that is open, if one is.
  void RollBack();

  // Calls `callback(context)` every `steps` virtual machine steps; non-zero ends the statement
  // with kTooLarge.
  void SetProgressCallback(int steps, int (*callback)(void*), void* context);

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace telem
