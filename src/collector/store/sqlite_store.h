// SqliteStore: records in one SQLite file, in WAL mode, synced at each commit. Several processes
// may use one file.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "collector/store/record_store.h"
#include "collector/store/siphash.h"
#include "collector/store/sqlite_database.h"

namespace telem {

class SqliteStore final : public RecordStore {
 public:
  // Opens or creates the file at `path` and brings it to this version's schema. Searches that take
  // longer than `search_limit` end with kTooLarge.
  static Result<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                   std::chrono::milliseconds search_limit);

  Result<std::vector<Receipt>> Add(std::span<const IncomingRecord> records) override;
  Result<RecordPage> Find(const RecordQuery& query) override;
  void StopFinding() override { stop_finding_ = true; }

 private:
  SqliteStore() = default;

  Result<std::vector<Receipt>> AddInTransaction(std::span<const IncomingRecord> records);
  Result<Receipt> AddOne(const IncomingRecord& record);
  uint64_t DigestOf(const IncomingRecord& record) const;

  Result<RecordPage> Search(const RecordQuery& query);
  // Which index, if any, leads to the matches by the shortest way. SQLite knows no numbers of
  // matches, and its guesses may mean a walk through all records.
  Result<std::string_view> ChooseWay(const RecordQuery& query);
  // How many records match `condition`; no more than `limit` are counted.
  Result<int64_t> CountMatches(std::string_view condition, const RecordQuery& query, int64_t limit);
  bool HasTimeLeft() const;

  // Add's.
  SqliteDatabase writing_;
  SqliteStatement find_copy_;
  SqliteStatement insert_;
  SipKey digest_key_{};

  // Find's.
  SqliteDatabase reading_;
  std::chrono::milliseconds search_limit_{};
  std::chrono::steady_clock::time_point search_end_;

  std::atomic<bool> stop_finding_ = false;
};

}  // namespace telem
