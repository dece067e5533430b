// The numbered steps from an empty database to the schema of this version.
#pragma once

#include <span>

#include "base/result.h"
#include "collector/store/sqlite_database.h"

namespace telem {

// All of them: the step at index N leads from version N to N + 1.
std::span<const char* const> StoreMigrations();

// Brings `database` to version `migrations.size()`, in one transaction: killed in the middle, it is
// what it was before. kInvalid: it holds something else than a store of ours, or was made by a
// newer version.
Status Migrate(SqliteDatabase& database, std::span<const char* const> migrations);

}  // namespace telem
