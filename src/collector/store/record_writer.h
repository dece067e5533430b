// RecordWriter: the one thread that adds to the store. A commit costs a wait for the disk, however
// many records are in it, so all that came in during one commit share the next.
//
// Submit from one thread; `done` is called on the writer's thread, after the commit.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "collector/store/record_store.h"

namespace telem {

class RecordWriter {
 public:
  using Done = std::function<void(const IncomingRecord&, const Result<Receipt>&)>;

  // `max_waiting` records may wait at a time, besides those in the commit under way.
  RecordWriter(RecordStore& store, const Clock& clock, size_t max_waiting);
  ~RecordWriter();
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  // Whether the record was taken; if not, too many are waiting (or Stop was called), and `done` is
  // not called. What `record` points to must last until `done`.
  bool Submit(const IncomingRecord& record, Done done);

  // Commits what waits, calls each `done`, ends the thread. May be repeated.
  void Stop();

  // Why the last commit failed; nothing when it succeeded.
  std::optional<Error> LastFailure() const;

  // The same, but nothing when that was so long ago that only another commit can tell.
  std::optional<Error> RecentFailure() const;

 private:
  struct Batch {
    std::vector<IncomingRecord> records;
    std::vector<Done> done;  // one for each record

    void Clear() {
      records.clear();
      done.clear();
    }
  };

  void Run();
  void Commit(const Batch& batch);

  RecordStore& store_;
  const Clock& clock_;
  const size_t max_waiting_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Batch waiting_;
  bool stopping_ = false;
  std::optional<Error> last_failure_;
  MonotonicTime failed_at_;

  std::thread thread_;
};

}  // namespace telem
