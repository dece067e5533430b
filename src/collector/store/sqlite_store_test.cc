#include "collector/store/sqlite_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "record/sample_headers.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest() { Open(milliseconds(10'000)); }
  ~SqliteStoreTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Open(milliseconds search_limit) { Open({.page = search_limit, .step = search_limit}); }
  void Open(const SearchLimits& limits) {
    store_.reset();
    auto store = SqliteStore::Open(path(), limits);
    ASSERT_TRUE(store) << store.error().message;
    store_ = *std::move(store);
  }

  std::string path() const { return folder_ + "/records.db"; }

  static std::string MakeFolder() {
    std::string folder = ::testing::TempDir() + "sqlite_store_XXXXXX";
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    return folder;
  }

  static IncomingRecord Sample(std::string_view payload) {
    IncomingRecord record;
    record.headers = SampleHeaders();
    record.creation_timestamp = 1'795'445'503;
    record.payload = payload;
    record.received = WallTime(milliseconds(1'795'445'504'123));
    return record;
  }

  Receipt Add(const IncomingRecord& record) {
    const auto receipts = store_->Add(std::span(&record, 1));
    EXPECT_TRUE(receipts) << receipts.error().message;
    return receipts ? receipts->front() : Receipt();
  }

  std::vector<int64_t> FindIds(const RecordQuery& query) {
    const auto page = store_->Find(query);
    EXPECT_TRUE(page) << page.error().message;
    std::vector<int64_t> ids;
    if (page) {
      for (const StoredRecord& record : page->records) ids.push_back(record.id);
    }
    return ids;
  }

  const std::string folder_ = MakeFolder();
  std::unique_ptr<SqliteStore> store_;
};

using Ids = std::vector<int64_t>;

TEST_F(SqliteStoreTest, GivesBackWhatWasAdded) {
  const std::string payload("a\0b\xff\n", 5);
  IncomingRecord record = Sample(payload);
  record.headers[Header::kHostType] = {};
  EXPECT_EQ(Add(record).id, 1);
  Open(milliseconds(10'000));
  const auto page = store_->Find({});
  ASSERT_TRUE(page);
  ASSERT_EQ(page->records.size(), 1u);
  const StoredRecord& stored = page->records[0];
  EXPECT_EQ(stored.payload, payload);
  EXPECT_EQ(stored.received, record.received);
  for (size_t i = 0; i < kHeaderCount; ++i) {
    if (static_cast<Header>(i) == Header::kHostType) {
      EXPECT_FALSE(stored.headers[i]);
    } else {
      EXPECT_EQ(stored.headers[i], std::string(record.headers.values[i])) << kHeaderNames[i];
    }
  }
}

TEST_F(SqliteStoreTest, KeepsOneOfIdenticalRecords) {
  const IncomingRecord first = Sample("x");
  IncomingRecord copy = Sample("x");
  copy.received += milliseconds(500);
  EXPECT_FALSE(Add(first).was_known);
  const Receipt receipt = Add(copy);
  EXPECT_TRUE(receipt.was_known);
  EXPECT_EQ(receipt.id, 1);
  EXPECT_EQ(receipt.received, first.received);
  EXPECT_EQ(FindIds({}), Ids({1}));
}

TEST_F(SqliteStoreTest, FindsCopiesWithinOneCommit) {
  const std::vector<IncomingRecord> records = {Sample("x"), Sample("y"), Sample("x")};
  const auto receipts = store_->Add(records);
  ASSERT_TRUE(receipts);
  EXPECT_EQ((*receipts)[0].id, (*receipts)[2].id);
  EXPECT_TRUE((*receipts)[2].was_known);
  EXPECT_EQ(FindIds({}), Ids({2, 1}));
}

TEST_F(SqliteStoreTest, KeepsRecordsThatDifferInAnythingThatNamesThem) {
  const IncomingRecord first = Sample("x");
  Add(first);
  for (const Header header : {Header::kMachineId, Header::kClassification, Header::kEventId}) {
    IncomingRecord other = first;
    other.headers[header] = "different/in/this";
    EXPECT_FALSE(Add(other).was_known) << NameOf(header);
  }
  IncomingRecord later = first;
  later.creation_timestamp += 1;
  EXPECT_FALSE(Add(later).was_known);
  EXPECT_FALSE(Add(Sample("y")).was_known);
  IncomingRecord without_event = first;
  without_event.headers[Header::kEventId] = {};
  EXPECT_FALSE(Add(without_event).was_known);
  EXPECT_TRUE(Add(without_event).was_known);
}

TEST_F(SqliteStoreTest, FiltersByEachParameter) {
  IncomingRecord record = Sample("1");
  Add(record);
  record.headers[Header::kClassification] = "org.example/test/two";
  record.payload = "2";
  Add(record);
  record.headers[Header::kSeverity] = "4";
  record.payload = "3";
  Add(record);
  record.headers[Header::kMachineId] = "other";
  record.payload = "4";
  Add(record);
  record.headers[Header::kBuild] = "13";
  record.payload = "5";
  Add(record);
  record.creation_timestamp += 100;
  record.payload = "6";
  Add(record);
  EXPECT_EQ(FindIds({}), Ids({6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(FindIds({.classification = "org.example/test/one"}), Ids({1}));
  EXPECT_EQ(FindIds({.classification = "org.example/test/t*"}), Ids({6, 5, 4, 3, 2}));
  EXPECT_EQ(FindIds({.classification = "*"}).size(), 6u);
  EXPECT_EQ(FindIds({.classification = "org.example/test/%"}), Ids());
  EXPECT_EQ(FindIds({.severity = 4}), Ids({6, 5, 4, 3}));
  EXPECT_EQ(FindIds({.machine_id = "other"}), Ids({6, 5, 4}));
  EXPECT_EQ(FindIds({.build = "13"}), Ids({6, 5}));
  EXPECT_EQ(FindIds({.created_since = 1'795'445'504}), Ids({6}));
  EXPECT_EQ(FindIds({.created_since = 1'795'445'503}).size(), 6u);
  EXPECT_EQ(FindIds({.from_id = 5}), Ids({6, 5}));
  EXPECT_EQ(FindIds({.before_id = 2}), Ids({1}));
  EXPECT_EQ(FindIds({.classification = "org.example/*",
                     .severity = 4,
                     .build = "\"12\"",
                     .machine_id = "other",
                     .created_since = 1,
                     .from_id = 1,
                     .before_id = 6}),
            Ids({4}));
}

TEST_F(SqliteStoreTest, PagesThroughEverythingOnce) {
  for (int i = 0; i < 7; ++i) Add(Sample("payload " + std::to_string(i)));
  RecordQuery query{.limit = 3};
  Ids seen;
  int pages = 0;
  do {
    const auto page = store_->Find(query);
    ASSERT_TRUE(page);
    for (const StoredRecord& record : page->records) seen.push_back(record.id);
    query.before_id = page->next;
    ++pages;
  } while (query.before_id);
  EXPECT_EQ(seen, Ids({7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(pages, 3);
}

TEST_F(SqliteStoreTest, SaysThatNoPageFollowsWhenTheLastIsFull) {
  Add(Sample("x"));
  EXPECT_FALSE(store_->Find({.limit = 1})->next);
}

// Who asks again and again for what is new would otherwise search everything again where nothing
// matched.
TEST_F(SqliteStoreTest, SaysWhichRecordIsTheNewest) {
  EXPECT_EQ(store_->Find({})->newest, 0);
  Add(Sample("x"));
  Add(Sample("y"));
  EXPECT_EQ(store_->Find({})->newest, 2);
  EXPECT_EQ(store_->Find({.build = "none has this"})->newest, 2);
  EXPECT_EQ(store_->Find({.before_id = 2})->newest, 2);
}

TEST_F(SqliteStoreTest, EndsAPageBeforeItGrowsTooLarge) {
  const std::string payload(size_t{1024} * 1024, 'x');
  for (int i = 0; i < 4; ++i) {
    IncomingRecord record = Sample(payload);
    record.creation_timestamp += static_cast<uint64_t>(i);
    Add(record);
  }
  const auto page = store_->Find({});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->records.size(), 2u);
  EXPECT_EQ(page->next, 3);
  const auto without = store_->Find({.with_payload = false});
  ASSERT_TRUE(without);
  EXPECT_EQ(without->records.size(), 4u);
  EXPECT_EQ(without->records[0].payload, "");
  EXPECT_EQ(without->records[0].payload_size, payload.size());
}

// From some size of the store on, a search for what is rare was answered "narrow it down" for ever.
TEST_F(SqliteStoreTest, SearchesAStoreOfAnySizePageByPage) {
  std::vector<IncomingRecord> records;
  for (uint64_t i = 0; i < 45'000; ++i) {
    records.push_back(Sample("x"));
    records.back().creation_timestamp += i;
  }
  for (const size_t rare : {1, 2, 30'000}) records[rare - 1].headers[Header::kBuild] = "rare";
  ASSERT_TRUE(store_->Add(records));
  Open({.page = milliseconds(0), .step = milliseconds(10'000)});
  for (const auto& classification :
       {std::optional<std::string>(), std::optional<std::string>("org.*"),
        std::optional<std::string>("org.example/test/one")}) {
    RecordQuery query{.classification = classification, .build = "rare", .limit = 2};
    Ids seen;
    int pages = 0;
    do {
      const auto page = store_->Find(query);
      ASSERT_TRUE(page) << page.error().message;
      for (const StoredRecord& record : page->records) seen.push_back(record.id);
      query.before_id = page->next;
      ++pages;
    } while (query.before_id);
    EXPECT_EQ(seen, Ids({30'000, 2, 1}));
    EXPECT_EQ(pages, 3);
    query.from_id = 44'000;
    EXPECT_FALSE(store_->Find(query)->next);
  }
}

TEST_F(SqliteStoreTest, EndsASearchThatTakesTooLong) {
  std::vector<IncomingRecord> records;
  for (uint64_t i = 0; i < 5000; ++i) {
    records.push_back(Sample("x"));
    records.back().creation_timestamp += i;
  }
  ASSERT_TRUE(store_->Add(records));
  Open(milliseconds(0));
  const auto page = store_->Find({.build = "none has this"});
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kTooLarge);
}

// SQLite preferred a walk through all records to the index of times, and the index of
// classifications, which is long, to that of machines.
TEST_F(SqliteStoreTest, GoesByTheIndexWithTheFewestMatches) {
  std::vector<IncomingRecord> records;
  for (uint64_t i = 0; i < 2000; ++i) {
    records.push_back(Sample("x"));
    records.back().creation_timestamp += i;
  }
  records[0].headers[Header::kMachineId] = "other";
  records[1].headers[Header::kClassification] = "org.example/other/one";
  const uint64_t last = records.back().creation_timestamp;
  ASSERT_TRUE(store_->Add(records));
  Open(milliseconds(0));  // so that a search which walks through all of them fails
  EXPECT_EQ(FindIds({.created_since = last}), Ids({2000}));
  EXPECT_EQ(FindIds({.created_since = last + 1}), Ids());
  EXPECT_EQ(FindIds({.classification = "org.example/test/one", .machine_id = "other"}), Ids({1}));
  EXPECT_EQ(FindIds({.classification = "org.example/o*", .from_id = 1}), Ids({2}));
}

TEST_F(SqliteStoreTest, FindsNothingMoreOnceItIsStopped) {
  store_->StopFinding();
  const auto page = store_->Find({});
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kBusy);
}

TEST_F(SqliteStoreTest, SharesItsFileWithAnotherProcess) {
  auto other =
      SqliteStore::Open(path(), {.page = milliseconds(10'000), .step = milliseconds(10'000)});
  ASSERT_TRUE(other) << other.error().message;
  const IncomingRecord record = Sample("x");
  Add(record);
  const auto receipts = (*other)->Add(std::span(&record, 1));
  ASSERT_TRUE(receipts);
  EXPECT_TRUE(receipts->front().was_known);
}

TEST_F(SqliteStoreTest, StoresNothingWhileAnotherProcessHoldsTheFileAndGoesOnAfterwards) {
  auto other = SqliteDatabase::Open(path(), SqliteDatabase::Access::kReadWriteCreate);
  ASSERT_TRUE(other);
  ASSERT_TRUE(other->Execute("BEGIN IMMEDIATE"));
  const IncomingRecord record = Sample("x");
  const auto refused = store_->Add(std::span(&record, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  ASSERT_TRUE(other->Execute("COMMIT"));
  EXPECT_FALSE(Add(record).was_known);
}

TEST_F(SqliteStoreTest, StoresAllOfABatchOrNothing) {
  auto other = SqliteDatabase::Open(path(), SqliteDatabase::Access::kReadWriteCreate);
  ASSERT_TRUE(other);
  ASSERT_TRUE(
      other->Execute("CREATE TRIGGER refuse BEFORE INSERT ON records"
                     " WHEN NEW.machine_id = 'poison' BEGIN SELECT RAISE(FAIL, 'no'); END"));
  std::vector<IncomingRecord> records = {Sample("x"), Sample("y")};
  records[1].headers[Header::kMachineId] = "poison";
  EXPECT_FALSE(store_->Add(records));
  EXPECT_EQ(FindIds({}), Ids());
  EXPECT_EQ(Add(Sample("x")).was_known, false);
}

TEST(SqliteStoreOpenTest, SaysWhichFileItCannotOpen) {
  const auto store =
      SqliteStore::Open("/nowhere/records.db", {.page = milliseconds(1), .step = milliseconds(1)});
  ASSERT_FALSE(store);
  EXPECT_TRUE(store.error().message.starts_with("/nowhere/records.db: ")) << store.error().message;
}

}  // namespace
}  // namespace telem
