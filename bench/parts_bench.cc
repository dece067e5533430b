// What each step of a record's way costs by itself.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/clock.h"
#include "record/delivery_codec.h"
#include "record/frame_codec.h"
#include "record/headers.h"
#include "record/record_id.h"
#include "record/sample_headers.h"
#include "record/spool_file.h"
#include "store/journal_line.h"
#include "store/spool.h"
#include "telemetry.h"

namespace telem {
namespace {

// Payload sizes: a heartbeat, and the largest payload of 1.x.
constexpr int64_t kSmall = 100;
constexpr int64_t kLarge = 8192;

std::string PayloadOf(const benchmark::State& state) {
  return std::string(static_cast<size_t>(state.range(0)), 'x');
}

void EncodesAFrame(benchmark::State& state) {
  const std::string headers = SampleHeaderText();
  const std::string payload = PayloadOf(state);
  while (state.KeepRunning()) benchmark::DoNotOptimize(EncodeFrame(headers, payload));
}
BENCHMARK(EncodesAFrame)->Arg(kSmall)->Arg(kLarge);

void TakesAFrame(benchmark::State& state) {
  const std::string frame = EncodeFrame(SampleHeaderText(), PayloadOf(state));
  while (state.KeepRunning()) {
    std::string_view bytes = frame;
    benchmark::DoNotOptimize(TakeFrame(bytes, false));
  }
}
BENCHMARK(TakesAFrame)->Arg(kSmall)->Arg(kLarge);

void SplitsAndChecksHeaders(benchmark::State& state) {
  const std::string text = SampleHeaderText();
  while (state.KeepRunning()) {
    const auto headers = SplitHeaders(text);
    benchmark::DoNotOptimize(CheckHeaders(*headers));
  }
}
BENCHMARK(SplitsAndChecksHeaders);

void AppendsHeaders(benchmark::State& state) {
  const HeaderViews headers = SampleHeaders();
  std::string text;
  while (state.KeepRunning()) {
    text.clear();
    AppendHeaders(text, headers);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(AppendsHeaders);

void MakesARecordId(benchmark::State& state) {
  const WallTime now = SystemClock().Now();
  while (state.KeepRunning()) benchmark::DoNotOptimize(MakeRecordId(now));
}
BENCHMARK(MakesARecordId);

// On tmpfs, so that it is the spool's own work that is seen.
void PutsAndRemovesASpoolFile(benchmark::State& state) {
  char folder[] = "/dev/shm/telem-bench-XXXXXX";
  if (::mkdtemp(folder) == nullptr) {
    state.SkipWithError("no folder in /dev/shm");
    return;
  }
  const std::string root = folder;
  std::filesystem::create_directory(root + "/spool");
  const std::string headers = SampleHeaderText();
  const std::string payload = PayloadOf(state);
  const SystemClock clock;
  auto spool = Spool::Open(clock, root + "/spool", root + "/rejected");
  if (!spool) state.SkipWithError(spool.error().message.c_str());
  while (state.KeepRunning()) {
    const SpoolFileName name{MakeRecordId(SystemClock().Now()), 1000,
                             static_cast<uint32_t>(payload.size())};
    const auto record = spool->Put(name, 1, headers, payload);
    if (record) spool->Settle(*record);
    if (!record || !spool->Remove(*record)) {
      state.SkipWithError("the spool failed");
      break;
    }
  }
  std::filesystem::remove_all(root);
}
BENCHMARK(PutsAndRemovesASpoolFile)->Arg(kSmall)->Arg(kLarge);

void ParsesASpoolFile(benchmark::State& state) {
  const std::string bytes = SampleHeaderText() + PayloadOf(state) + '\n';
  const auto size = static_cast<uint32_t>(state.range(0));
  while (state.KeepRunning()) benchmark::DoNotOptimize(ParseSpoolFile(bytes, size));
}
BENCHMARK(ParsesASpoolFile)->Arg(kSmall)->Arg(kLarge);

JournalLine SampleLine() {
  return JournalLine{.record_id = "0199f2a3b4c5aabbccddeeff00112233",
                     .time = 1'795'445'503,
                     .classification = "org.example/test/one",
                     .event_id = "0123456789abcdef0123456789abcdef",
                     .boot_id = "11111111-2222-3333-4444-555555555555",
                     .severity = 1,
                     .bytes = 700,
                     .state = RecordState::kSpooled,
                     .detail = {},
                     .uid = 1000,
                     .pid = 4711,
                     .comm = "hprobe"};
}

void AppendsAJournalLine(benchmark::State& state) {
  const JournalLine line = SampleLine();
  std::string text;
  while (state.KeepRunning()) {
    text.clear();
    AppendJournalLine(text, line);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(AppendsAJournalLine);

void ParsesAJournalLine(benchmark::State& state) {
  std::string text;
  AppendJournalLine(text, SampleLine());
  text.pop_back();
  while (state.KeepRunning()) benchmark::DoNotOptimize(ParseJournalLine(text));
}
BENCHMARK(ParsesAJournalLine);

void TakesADeliveryRecord(benchmark::State& state) {
  const std::string headers = SampleHeaderText();
  const std::string payload = PayloadOf(state);
  const auto head =
      EncodeDeliveryHead(MakeRecordId(SystemClock().Now()), headers.size(), payload.size());
  const std::string text = std::string(head.data(), head.size()) + headers + payload;
  while (state.KeepRunning()) {
    std::string_view bytes = text;
    benchmark::DoNotOptimize(TakeDeliveryRecord(bytes));
  }
}
BENCHMARK(TakesADeliveryRecord)->Arg(kSmall)->Arg(kLarge);

void ParsesAVerdict(benchmark::State& state) {
  constexpr std::string_view kLine = "0199f2a3b4c5aabbccddeeff00112233 accepted 201 0 Created";
  while (state.KeepRunning()) benchmark::DoNotOptimize(ParseVerdict(kLine));
}
BENCHMARK(ParsesAVerdict);

// Through the C API, as a probe calls it.
void CreatesARecord(benchmark::State& state) {
  while (state.KeepRunning()) {
    telem_ref* record = nullptr;
    if (tm_create_record(&record, 1, "org.example/bench/one", 1) != 0) {
      state.SkipWithError("tm_create_record failed");
      break;
    }
    tm_free_record(record);
  }
}
BENCHMARK(CreatesARecord);

void CreatesARecordAndSetsItsPayload(benchmark::State& state) {
  const std::string payload = PayloadOf(state);
  while (state.KeepRunning()) {
    telem_ref* record = nullptr;
    if (tm_create_record(&record, 1, "org.example/bench/one", 1) != 0 ||
        tm_set_payload(record, payload.c_str()) != 0) {
      state.SkipWithError("the library failed");
      break;
    }
    tm_free_record(record);
  }
}
BENCHMARK(CreatesARecordAndSetsItsPayload)->Arg(kSmall)->Arg(kLarge);

}  // namespace
}  // namespace telem

BENCHMARK_MAIN();
