#include "collector/store/record_writer.h"

#include <utility>

namespace telem {
namespace {

// A load balancer sends no record to a server that says it cannot store any. It has to take that
// back by itself then, since nothing else would show that it can again.
constexpr std::chrono::minutes kFailureLasts{1};

}  // namespace

RecordWriter::RecordWriter(RecordStore& store, const Clock& clock, size_t max_waiting)
    : store_(store), clock_(clock), max_waiting_(max_waiting), thread_([this] { Run(); }) {}

RecordWriter::~RecordWriter() { Stop(); }

bool RecordWriter::Submit(const IncomingRecord& record, Done done) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || waiting_.records.size() >= max_waiting_) return false;
    was_empty = waiting_.records.empty();
    waiting_.records.push_back(record);
    waiting_.done.push_back(std::move(done));
  }
  if (was_empty) wake_.notify_one();
  return true;
}

void RecordWriter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::optional<Error> RecordWriter::LastFailure() const {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

std::optional<Error> RecordWriter::RecentFailure() const {
  const std::lock_guard lock(mutex_);
  if (clock_.Monotonic() - failed_at_ >= kFailureLasts) return std::nullopt;
  return last_failure_;
}

void RecordWriter::Run() {
  Batch batch;  // keeps its memory from one commit to the next
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.records.empty(); });
    if (waiting_.records.empty()) return;
    std::swap(batch, waiting_);
    lock.unlock();
    Commit(batch);
    batch.Clear();
    lock.lock();
  }
}

void RecordWriter::Commit(const Batch& batch) {
  const Result<std::vector<Receipt>> receipts = store_.Add(batch.records);
  {
    const std::lock_guard lock(mutex_);
    last_failure_ = receipts ? std::nullopt : std::optional(receipts.error());
    failed_at_ = clock_.Monotonic();
  }
  for (size_t i = 0; i < batch.records.size(); ++i) {
    if (receipts) {
      batch.done[i](batch.records[i], (*receipts)[i]);
    } else {
      batch.done[i](batch.records[i], std::unexpected(receipts.error()));
    }
  }
}

}  // namespace telem
