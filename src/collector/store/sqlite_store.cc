#include "collector/store/sqlite_store.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "collector/store/migrations.h"

namespace telem {
namespace {

using std::chrono::steady_clock;

constexpr const char* kWriterSettings =
    "PRAGMA synchronous = FULL;"             // in WAL mode: a commit is on disk when it returns
    "PRAGMA journal_size_limit = 16777216;"  // what a burst leaves of the log file
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA cache_size = -8192;";
constexpr const char* kReaderSettings =
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA cache_size = -4096;";

constexpr std::string_view kFindCopy =
    "SELECT id, received FROM records WHERE creation_timestamp = ?1 AND digest = ?2"
    " AND machine_id = ?3 AND classification = ?4 AND event_id IS ?5 AND payload = ?6";

constexpr std::string_view kHeaderColumns =
    "record_format_version, classification, severity, machine_id, creation_timestamp, arch,"
    " host_type, build, kernel_version, payload_format_version, system_name, board_name,"
    " cpu_model, bios_version, event_id";

// Bytes of payloads, as JSON, after which a page ends.
constexpr size_t kPageBytes = size_t{2} * 1024 * 1024;

// About how long `payload` gets in JSON: a control character becomes six bytes.
size_t JsonSize(std::string_view payload) {
  return payload.size() + 5 * static_cast<size_t>(std::ranges::count_if(payload, IsControl));
}

// Of the matches of one condition so many are counted; more are many.
constexpr int64_t kFew = 5000;

// Up to so many records, matching or not, are looked at in one step of a search.
constexpr int64_t kStepRecords = 20'000;

// Text in the database is printable ASCII, so this is above all that starts with the same prefix.
std::string AfterAllWithPrefix(std::string_view prefix) { return std::string(prefix) + '\x7f'; }

bool IsPrefixQuery(const RecordQuery& query) {
  return query.classification && query.classification->ends_with('*');
}

std::string_view PrefixOf(const RecordQuery& query) {
  std::string_view prefix = *query.classification;
  prefix.remove_suffix(1);
  return prefix;
}

// Conditions that an index answers. Parameters by number, so that each can be used alone.
constexpr std::string_view kCreatedSince = "creation_timestamp >= ?1";
constexpr std::string_view kClassification = "classification = ?2";
constexpr std::string_view kPrefix = "classification >= ?2 AND classification < ?3";
constexpr std::string_view kMachine = "machine_id = ?4";

void BindIndexed(SqliteStatement& statement, const RecordQuery& query,
                 std::string_view prefix_end) {
  if (query.created_since) {
    statement.BindInteger(1, static_cast<int64_t>(*query.created_since));
  }
  if (query.classification) {
    if (IsPrefixQuery(query)) {
      statement.BindText(2, PrefixOf(query));
      statement.BindText(3, prefix_end);
    } else {
      statement.BindText(2, *query.classification);
    }
  }
  if (query.machine_id) statement.BindText(4, *query.machine_id);
}

// Only once it is certain that the database is ours.
Status SwitchToWal(SqliteDatabase& database) {
  TELEM_TRY(SqliteStatement statement, database.Prepare("PRAGMA journal_mode = WAL"));
  TELEM_TRY(const bool has_mode, statement.Step());
  if (!has_mode || statement.Bytes(0) != "wal") {
    return Fail(ErrorCode::kIo, "this file system cannot hold a database in WAL mode");
  }
  return {};
}

StoredRecord ReadRow(const SqliteStatement& row, bool with_payload) {
  StoredRecord record;
  record.id = row.Integer(0);
  record.received = WallTime(std::chrono::milliseconds(row.Integer(1)));
  for (size_t i = 0; i < kHeaderCount; ++i) {
    const int column = static_cast<int>(i) + 2;
    if (!row.IsNull(column)) record.headers[i] = std::string(row.Bytes(column));
  }
  constexpr int kPayloadColumn = static_cast<int>(kHeaderCount) + 2;
  if (with_payload) {
    record.payload = row.Bytes(kPayloadColumn);
    record.payload_size = record.payload.size();
  } else {
    record.payload_size = static_cast<uint64_t>(row.Integer(kPayloadColumn));
  }
  return record;
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path,
                                                       const SearchLimits& search_limits) {
  std::unique_ptr<SqliteStore> store(new SqliteStore);
  store->limits_ = search_limits;
  const auto open = [&]() -> Status {
    TELEM_TRY(store->writing_,
              SqliteDatabase::Open(path, SqliteDatabase::Access::kReadWriteCreate));
    TELEM_CHECK(store->writing_.Execute(kWriterSettings));
    TELEM_CHECK(Migrate(store->writing_, StoreMigrations()));
    TELEM_CHECK(SwitchToWal(store->writing_));
    TELEM_TRY(SqliteStatement key, store->writing_.Prepare("SELECT bytes FROM digest_key"));
    TELEM_TRY(const bool has_key, key.Step());
    if (!has_key || key.Bytes(0).size() != store->digest_key_.size()) {
      return Fail(ErrorCode::kInvalid, "the store has lost its digest key");
    }
    std::ranges::copy(key.Bytes(0), store->digest_key_.begin());
    TELEM_TRY(store->find_copy_, store->writing_.Prepare(kFindCopy));
    std::string insert = "INSERT INTO records (received, digest, payload, ";
    insert += kHeaderColumns;
    insert += ") VALUES (?1, ?2, ?3";
    for (size_t i = 0; i < kHeaderCount; ++i) {
      insert += ", ?";
      AppendUnsigned(insert, i + 4);
    }
    insert += ')';
    TELEM_TRY(store->insert_, store->writing_.Prepare(insert));
    TELEM_TRY(store->reading_, SqliteDatabase::Open(path, SqliteDatabase::Access::kReadOnly));
    return store->reading_.Execute(kReaderSettings);
  };
  if (auto status = open(); !status) return WithContext(path, std::move(status.error()));
  store->reading_.SetProgressCallback(
      10'000, [](void* self) { return static_cast<SqliteStore*>(self)->HasTimeLeft() ? 0 : 1; },
      store.get());
  return store;
}

uint64_t SqliteStore::DigestOf(const IncomingRecord& record) const {
  SipHash hash(digest_key_);
  for (const Header header : {Header::kMachineId, Header::kClassification, Header::kEventId}) {
    hash.Add(record.headers[header]);
    hash.Add("\n");  // cannot stand in a value, so values cannot run into each other
  }
  hash.Add(record.payload);
  return hash.Finish();
}

Result<Receipt> SqliteStore::AddOne(const IncomingRecord& record) {
  const auto digest = static_cast<int64_t>(DigestOf(record));
  const auto created = static_cast<int64_t>(record.creation_timestamp);
  const std::string_view event_id = record.headers[Header::kEventId];
  find_copy_.Reset();
  find_copy_.BindInteger(1, created);
  find_copy_.BindInteger(2, digest);
  find_copy_.BindText(3, record.headers[Header::kMachineId]);
  find_copy_.BindText(4, record.headers[Header::kClassification]);
  if (IsPresent(event_id)) find_copy_.BindText(5, event_id);
  find_copy_.BindBlob(6, record.payload);
  TELEM_TRY(const bool was_known, find_copy_.Step());
  if (was_known) {
    return Receipt{.id = find_copy_.Integer(0),
                   .received = WallTime(std::chrono::milliseconds(find_copy_.Integer(1))),
                   .was_known = true};
  }
  insert_.Reset();
  insert_.BindInteger(1, record.received.time_since_epoch().count());
  insert_.BindInteger(2, digest);
  insert_.BindBlob(3, record.payload);
  for (size_t i = 0; i < kHeaderCount; ++i) {
    const int parameter = static_cast<int>(i) + 4;
    const std::string_view value = record.headers.values[i];
    if (static_cast<Header>(i) == Header::kCreationTimestamp) {
      insert_.BindInteger(parameter, created);
    } else if (IsPresent(value)) {
      insert_.BindText(parameter, value);
    }
  }
  TELEM_CHECK(insert_.Step());
  return Receipt{.id = writing_.LastInsertedId(), .received = record.received};
}

Result<std::vector<Receipt>> SqliteStore::AddInTransaction(
    std::span<const IncomingRecord> records) {
  // What goes into a file without a name is lost with the next start.
  if (!writing_.IsAtItsPath()) {
    return Fail(ErrorCode::kIo, "its file was removed or replaced; it takes a restart");
  }
  TELEM_CHECK(writing_.Execute("BEGIN IMMEDIATE"));
  std::vector<Receipt> receipts;
  receipts.reserve(records.size());
  for (const IncomingRecord& record : records) {
    TELEM_TRY(const Receipt receipt, AddOne(record));
    receipts.push_back(receipt);
  }
  find_copy_.Reset();  // a statement under way would keep the commit waiting
  insert_.Reset();
  TELEM_CHECK(writing_.Execute("COMMIT"));
  return receipts;
}

Result<std::vector<Receipt>> SqliteStore::Add(std::span<const IncomingRecord> records) {
  auto receipts = AddInTransaction(records);
  if (!receipts) {
    find_copy_.Reset();
    insert_.Reset();
    writing_.RollBack();
  }
  return receipts;
}

bool SqliteStore::HasTimeLeft() const { return !stop_finding_ && steady_clock::now() < step_end_; }

Result<RecordPage> SqliteStore::Find(const RecordQuery& query) {
  if (stop_finding_) return Fail(ErrorCode::kBusy, "stopping");
  step_end_ = steady_clock::now() + limits_.step;
  auto page = Search(query);
  if (!page && stop_finding_) return Fail(ErrorCode::kBusy, "stopping");
  return page;
}

Result<int64_t> SqliteStore::CountMatches(std::string_view condition, const RecordQuery& query,
                                          int64_t limit) {
  std::string sql = "SELECT count(*) FROM (SELECT 1 FROM records WHERE ";
  sql += condition;
  sql += " LIMIT ";
  AppendSigned(sql, limit);
  sql += ')';
  TELEM_TRY(SqliteStatement count, reading_.Prepare(sql));
  const std::string prefix_end = IsPrefixQuery(query) ? AfterAllWithPrefix(PrefixOf(query)) : "";
  BindIndexed(count, query, prefix_end);
  TELEM_CHECK(count.Step());
  return count.Integer(0);
}

Result<SqliteStore::Way> SqliteStore::ChooseWay(const RecordQuery& query) {
  std::string_view way = "NOT INDEXED";
  int64_t fewest = kFew + 2;
  const auto consider = [&](std::string_view condition, std::string_view index,
                            bool is_by_id) -> Status {
    TELEM_TRY(const int64_t matches, CountMatches(condition, query, std::min(fewest, kFew + 1)));
    if (matches < fewest && (is_by_id || matches <= kFew)) {
      fewest = matches;
      way = index;
    }
    return {};
  };
  // The matches of one value stand in an index by id, and those of a range have to be sorted.
  if (query.machine_id) TELEM_CHECK(consider(kMachine, "INDEXED BY records_by_machine", true));
  if (query.classification) {
    const bool is_range = IsPrefixQuery(query);
    TELEM_CHECK(consider(is_range ? kPrefix : kClassification,
                         "INDEXED BY records_by_classification", !is_range));
  }
  if (query.created_since) {
    TELEM_CHECK(consider(kCreatedSince, "INDEXED BY records_by_creation", false));
  }
  return Way{.index = way, .is_short = fewest <= kFew};
}

Result<RecordPage> SqliteStore::Search(const RecordQuery& query) {
  std::string where;
  const auto add = [&](std::string_view condition) {
    where += where.empty() ? " WHERE " : " AND ";
    where += condition;
  };
  if (query.created_since) add(kCreatedSince);
  if (query.classification) add(IsPrefixQuery(query) ? kPrefix : kClassification);
  if (query.machine_id) add(kMachine);
  if (query.severity) add("severity = ?5");
  if (query.build) add("build = ?6");
  add("id >= ?7");
  add("id < ?8");

  // Ids first: where matches have to be sorted, their payloads must not be, which may be half a
  // gigabyte.
  TELEM_TRY(const Way way, ChooseWay(query));
  std::string sql = "SELECT id, received, ";
  sql += kHeaderColumns;
  sql += query.with_payload ? ", payload" : ", length(payload)";
  sql += " FROM records WHERE id IN (SELECT id FROM records ";
  sql += way.index;
  sql += where;
  sql += " ORDER BY id DESC LIMIT ?9) ORDER BY id DESC";
  TELEM_TRY(SqliteStatement statement, reading_.Prepare(sql));
  const std::string prefix_end = IsPrefixQuery(query) ? AfterAllWithPrefix(PrefixOf(query)) : "";
  std::string severity;
  if (query.severity) AppendSigned(severity, *query.severity);

  RecordPage page;
  TELEM_TRY(page.newest, reading_.QueryInteger("SELECT max(id) FROM records"));
  TELEM_TRY(const int64_t oldest, reading_.QueryInteger("SELECT min(id) FROM records"));
  const int64_t last = std::max(query.from_id.value_or(0), oldest);
  int64_t before = std::min(query.before_id.value_or(INT64_MAX), page.newest + 1);
  const steady_clock::time_point page_end = steady_clock::now() + limits_.page;
  size_t bytes = 0;
  while (before > last) {
    const int64_t first = way.is_short ? last : std::max(last, before - kStepRecords);
    statement.Reset();
    BindIndexed(statement, query, prefix_end);
    if (query.severity) statement.BindText(5, severity);
    if (query.build) statement.BindText(6, *query.build);
    statement.BindInteger(7, first);
    statement.BindInteger(8, before);
    // One more tells whether a page follows.
    statement.BindInteger(9, query.limit + 1 - static_cast<int64_t>(page.records.size()));
    step_end_ = steady_clock::now() + limits_.step;
    while (true) {
      TELEM_TRY(const bool has_row, statement.Step());
      if (!has_row) break;
      StoredRecord record = ReadRow(statement, query.with_payload);
      bytes += JsonSize(record.payload);
      if (static_cast<int>(page.records.size()) == query.limit ||
          (bytes > kPageBytes && !page.records.empty())) {
        page.next = page.records.back().id;
        return page;
      }
      page.records.push_back(std::move(record));
    }
    before = first;
    if (before > last && steady_clock::now() >= page_end) {
      page.next = before;
      return page;
    }
  }
  return page;
}

}  // namespace telem
