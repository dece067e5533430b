// RecordReader: the one thread that searches the store, so that a long search keeps nobody's record
// waiting.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "collector/store/record_store.h"

namespace telem {

class RecordReader {
 public:
  using Done = std::function<void(const Result<RecordPage>&)>;

  RecordReader(RecordStore& store, size_t max_waiting);
  ~RecordReader();
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // Whether the query was taken. `done` is called on the reader's thread.
  bool Submit(RecordQuery query, Done done);

  // Answers all that wait with kBusy and ends the thread. May be repeated.
  void Stop();

 private:
  struct Search {
    RecordQuery query;
    Done done;
  };

  void Run();

  RecordStore& store_;
  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Search> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace telem
