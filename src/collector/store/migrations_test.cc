#include "collector/store/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace telem {
namespace {

using ::testing::HasSubstr;

SqliteDatabase OpenInMemory() {
  auto database = SqliteDatabase::Open(":memory:", SqliteDatabase::Access::kReadWriteCreate);
  EXPECT_TRUE(database);
  return *std::move(database);
}

int64_t Version(SqliteDatabase& database) {
  return database.QueryInteger("PRAGMA user_version").value_or(-1);
}

constexpr std::array kSteps = {"CREATE TABLE a (x); INSERT INTO a VALUES (1)",
                               "ALTER TABLE a ADD COLUMN y DEFAULT 2",
                               "INSERT INTO a VALUES (3, 4)"};

TEST(MigrationsTest, BringAnEmptyDatabaseToTheNewestVersion) {
  SqliteDatabase database = OpenInMemory();
  ASSERT_TRUE(Migrate(database, StoreMigrations()));
  EXPECT_EQ(Version(database), static_cast<int64_t>(StoreMigrations().size()));
  EXPECT_EQ(database.QueryInteger("SELECT count(*) FROM records"), 0);
  ASSERT_TRUE(Migrate(database, StoreMigrations()));
}

TEST(MigrationsTest, ApplyOnlyTheStepsThatAreMissing) {
  SqliteDatabase database = OpenInMemory();
  ASSERT_TRUE(Migrate(database, std::span(kSteps).first(1)));
  EXPECT_EQ(Version(database), 1);
  ASSERT_TRUE(Migrate(database, kSteps));
  EXPECT_EQ(Version(database), 3);
  EXPECT_EQ(database.QueryInteger("SELECT sum(x * 10 + y) FROM a"), 12 + 34);
  ASSERT_TRUE(Migrate(database, kSteps));
  EXPECT_EQ(database.QueryInteger("SELECT count(*) FROM a"), 2);
}

TEST(MigrationsTest, LeaveTheDatabaseAsItWasWhenOneStepFails) {
  SqliteDatabase database = OpenInMemory();
  ASSERT_TRUE(Migrate(database, std::span(kSteps).first(1)));
  constexpr std::array kBroken = {kSteps[0], kSteps[1], "INSERT INTO nowhere VALUES (1)"};
  const Status status = Migrate(database, kBroken);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("migration 3"));
  EXPECT_EQ(Version(database), 1);
  EXPECT_EQ(database.QueryInteger("SELECT count(*) FROM pragma_table_info('a')"), 1);
  ASSERT_TRUE(Migrate(database, kSteps));
}

TEST(MigrationsTest, RefuseAStoreOfANewerVersion) {
  SqliteDatabase database = OpenInMemory();
  ASSERT_TRUE(Migrate(database, kSteps));
  const Status status = Migrate(database, std::span(kSteps).first(2));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("has schema version 3"));
}

TEST(MigrationsTest, LeaveForeignDatabasesAlone) {
  SqliteDatabase database = OpenInMemory();
  ASSERT_TRUE(database.Execute("CREATE TABLE theirs (x)"));
  const Status status = Migrate(database, StoreMigrations());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(database.QueryInteger("SELECT count(*) FROM sqlite_schema"), 1);
}

}  // namespace
}  // namespace telem
