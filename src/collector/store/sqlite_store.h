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

// How long a search may take, so that a store of any size can be searched through, page by page,
// and nobody waits long for somebody else's search.
struct SearchLimits {
  std::chrono::milliseconds page;  // then the page ends with what it has
  std::chrono::milliseconds step;  // the same for one step of a page, which then fails
};

class SqliteStore final : public RecordStore {
 public:
  // Opens or creates the file at `path` and brings it to this version's schema.
  static Result<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                   const SearchLimits& search_limits);

  Result<std::vector<Receipt>> Add(std::span<const IncomingRecord> records) override;
  Result<RecordPage> Find(const RecordQuery& query) override;
  void StopFinding() override { stop_finding_ = true; }

 private:
  SqliteStore() = default;

  Result<std::vector<Receipt>> AddInTransaction(std::span<const IncomingRecord> records);
  Result<Receipt> AddOne(const IncomingRecord& record);
  uint64_t DigestOf(const IncomingRecord& record) const;

  Result<RecordPage> Search(const RecordQuery& query);
  struct Way {
    std::string_view index;
    bool is_short = false;
  };
  // Which index, if any, leads to the matches by the shortest way. SQLite knows no numbers of
  // matches, and its guesses may mean a walk through all records.
  Result<Way> ChooseWay(const RecordQuery& query);
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
  SearchLimits limits_{};
  std::chrono::steady_clock::time_point step_end_;

  std::atomic<bool> stop_finding_ = false;
};

}  // namespace telem
