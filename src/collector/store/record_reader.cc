#include "collector/store/record_reader.h"

#include <utility>

namespace telem {

RecordReader::RecordReader(RecordStore& store, size_t max_waiting)
    : store_(store), max_waiting_(max_waiting), thread_([this] { Run(); }) {}

RecordReader::~RecordReader() { Stop(); }

bool RecordReader::Submit(RecordQuery query, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || waiting_.size() >= max_waiting_) return false;
    waiting_.push_back({std::move(query), std::move(done)});
  }
  wake_.notify_one();
  return true;
}

void RecordReader::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  store_.StopFinding();
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void RecordReader::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Search search = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    search.done(store_.Find(search.query));
    lock.lock();
  }
}

}  // namespace telem
