#include "store/spool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/sample_headers.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

using namespace std::chrono_literals;

class SpoolTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(folder_ / "spool"); }

  Spool Open() {
    auto spool = Spool::Open(clock_, folder_ / "spool", folder_ / "rejected");
    EXPECT_TRUE(spool) << spool.error().message;
    return std::move(*spool);
  }

  // Everything that a former daemon left.
  std::vector<Spool::Found> ScanAll(Spool& spool, size_t step = 100) {
    std::vector<Spool::Found> all;
    while (true) {
      const auto more =
          spool.ScanSome(step, [&](const Spool::Found& found) { all.push_back(found); });
      EXPECT_TRUE(more);
      if (!more || !*more) return all;
    }
  }

  SpoolFileName NameOf(std::string_view payload, int64_t ms = 1'795'445'503'000) {
    return {MakeRecordId(WallTime(std::chrono::milliseconds(ms))), 0,
            static_cast<uint32_t>(payload.size())};
  }
  WaitingRecord Put(Spool& spool, std::string_view payload, int64_t ms = 1'795'445'503'000) {
    const auto record = spool.Put(NameOf(payload, ms), 1, SampleHeaderText(), payload);
    EXPECT_TRUE(record);
    return *record;
  }
  std::string PayloadOf(const Spool& spool, const WaitingRecord& record) {
    const auto bytes = spool.Read(record);
    EXPECT_TRUE(bytes);
    const auto parts = ParseSpoolFile(*bytes, record.name.payload_size);
    EXPECT_TRUE(parts);
    return std::string(parts->payload);
  }

  TestFolder folder_;
  SystemClock clock_;
};

TEST_F(SpoolTest, KeepsWhatItWasGivenUntilItIsRemoved) {
  Spool spool = Open();
  const WaitingRecord record = Put(spool, std::string_view("a\0\n", 3));
  EXPECT_EQ(PayloadOf(spool, record), std::string_view("a\0\n", 3));
  EXPECT_EQ(spool.bytes(), 4096u);
  struct stat st;
  ASSERT_EQ(::stat((folder_ / ("spool/" + record.name.ToText())).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  spool.Settle(record);
  ASSERT_TRUE(spool.Remove(record));
  EXPECT_EQ(spool.bytes(), 0u);
  EXPECT_EQ(folder_.CountFiles("spool"), 0u);
}

// Of the folders of telemd it was the only one that could not be linked to another disk.
TEST_F(SpoolTest, MayBeALinkToAFolder) {
  std::filesystem::rename(folder_ / "spool", folder_ / "disk");
  std::filesystem::create_directory_symlink(folder_ / "disk", folder_ / "spool");
  Spool spool = Open();
  Put(spool, "one");
  EXPECT_FALSE(std::filesystem::is_empty(folder_ / "disk"));
}

TEST_F(SpoolTest, LocksTheFolderAgainstASecondDaemon) {
  const Spool spool = Open();
  const auto second = Spool::Open(clock_, folder_ / "spool", folder_ / "rejected");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

TEST_F(SpoolTest, FindsWhatAFormerDaemonLeftOldestFirstAndBeforeWhatCameSince) {
  {
    Spool former = Open();
    Put(former, "second", 2000);
    Put(former, "first", 1000);
  }
  Spool spool = Open();
  spool.Append(Put(spool, "third", 3000));
  const auto found = ScanAll(spool, 1);
  EXPECT_EQ(found.size(), 2u);
  EXPECT_EQ(spool.waiting(), 3u);
  EXPECT_EQ(spool.bytes(), 3u * 4096);
  for (const char* payload : {"first", "second", "third"}) {
    EXPECT_EQ(PayloadOf(spool, *spool.TakeOldest()), payload);
  }
  EXPECT_FALSE(spool.TakeOldest());
}

// Its sender was not told that it is kept, and has sent it again or knows that it is lost.
TEST_F(SpoolTest, RemovesWhatAKillLeftUnfinished) {
  const SpoolFileName name{MakeRecordId(WallTime(std::chrono::hours(500'000))), 0, 5};
  for (const char* content : {"", "half a rec"}) {
    folder_.Write("spool/" + name.ToText(), content);
    ASSERT_EQ(::chmod((folder_ / ("spool/" + name.ToText())).c_str(), 0200), 0);
    Spool spool = Open();
    EXPECT_TRUE(ScanAll(spool).empty());
    EXPECT_EQ(spool.waiting(), 0u);
    EXPECT_EQ(folder_.CountFiles("spool"), 0u);
  }
}

// A record that came in while the folder was being listed must not be sent twice.
TEST_F(SpoolTest, CountsNothingTwiceThatCameWhileItScanned) {
  Spool spool = Open();
  for (int i = 0; i < 50; ++i) spool.Append(Put(spool, "fresh"));
  EXPECT_TRUE(ScanAll(spool, 7).empty());
  EXPECT_EQ(spool.waiting(), 50u);
  EXPECT_EQ(spool.bytes(), 50u * 4096);
}

TEST_F(SpoolTest, TakesOverFilesOf1xAnd2xUnderNamesOfItsOwn) {
  folder_.Write("spool/fv8OEq", SampleHeaderText() + "hello\n\n");
  folder_.Write("spool/aBcDeF", "CFG:/etc/other.conf\n" + SampleHeaderText() + "from 2.x\n");
  Spool spool = Open();
  const auto found = ScanAll(spool);
  ASSERT_EQ(found.size(), 2u);
  std::vector<std::string> payloads;
  while (const auto record = spool.TakeOldest()) {
    const auto bytes = spool.Read(*record);
    ASSERT_TRUE(bytes);
    const auto parts = ParseSpoolFile(*bytes);
    ASSERT_TRUE(parts);
    payloads.emplace_back(parts->payload);
    ASSERT_TRUE(spool.Remove(*record));
  }
  std::sort(payloads.begin(), payloads.end());
  EXPECT_EQ(payloads, (std::vector<std::string>{"from 2.x", "hello\n"}));
  EXPECT_EQ(folder_.CountFiles("spool"), 0u);
}

// One that no reader can make sense of once blocked all the others for ever.
TEST_F(SpoolTest, TellsWhatIsNoRecordAndGoesOn) {
  {
    Spool former = Open();
    Put(former, "good");
  }
  folder_.Write("spool/garbage", "no record at all");
  folder_.Write("spool/" + NameOf("longer than it is").ToText(), "short");
  ASSERT_EQ(::symlink("/etc/passwd", (folder_ / "spool/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((folder_ / "spool/pipe").c_str(), 0600), 0);
  Spool spool = Open();
  size_t invalid = 0;
  for (const auto& found : ScanAll(spool)) {
    if (found.kind != Spool::Found::Kind::kInvalid) continue;
    ++invalid;
    EXPECT_NE(found.reason, "");
    EXPECT_TRUE(spool.Reject(found.file_name, found.reason));
  }
  EXPECT_EQ(invalid, 4u);
  EXPECT_EQ(spool.waiting(), 1u);
  EXPECT_EQ(folder_.CountFiles("rejected"), 4u);
  EXPECT_EQ(PayloadOf(spool, *spool.TakeOldest()), "good");
}

// It was deleted, whatever it was.
TEST_F(SpoolTest, LeavesAFileThatIsLargerThanAllThatIsRejectedWhereItIs) {
  folder_.Write("spool/huge", std::string(RejectedFolder::kMaxBytes + 1, 'x'));
  Spool spool = Open();
  const auto found = ScanAll(spool);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].kind, Spool::Found::Kind::kStays);
  EXPECT_EQ(found[0].reason, "too large for a record, and has no place among the rejected ones");
  EXPECT_EQ(folder_.CountFiles("spool"), 1u);
}

TEST_F(SpoolTest, RejectsWithTheReason) {
  Spool spool = Open();
  const WaitingRecord record = Put(spool, "refused");
  spool.Settle(record);
  ASSERT_TRUE(spool.Reject(record.name.ToText(), "413 too large"));
  EXPECT_EQ(folder_.CountFiles("spool"), 0u);
  EXPECT_EQ(spool.bytes(), 0u);
  const auto files = spool.rejected().List();
  ASSERT_TRUE(files && files->size() == 1);
  EXPECT_EQ(files->front().name, record.name.ToText());
  EXPECT_EQ(files->front().reason, "413 too large");
}

TEST_F(SpoolTest, FindsAndTakesARecordFromTheMiddle) {
  Spool spool = Open();
  std::vector<WaitingRecord> records;
  for (const int64_t ms : {1000, 2000, 3000}) {
    records.push_back(Put(spool, "x", ms));
    spool.Append(records.back());
  }
  ASSERT_TRUE(spool.Find(records[1].id()));
  EXPECT_EQ(spool.Take(records[1].id())->name, records[1].name);
  EXPECT_FALSE(spool.Find(records[1].id()));
  EXPECT_FALSE(spool.Take(records[1].id()));
  EXPECT_EQ(spool.waiting(), 2u);
  EXPECT_EQ(spool.TakeOldest()->id(), records[0].id());
  EXPECT_EQ(spool.TakeOldest()->id(), records[2].id());
}

TEST_F(SpoolTest, HasRoomByBlocksOfFourKiBForAllAndForEach) {
  Spool spool = Open();
  Put(spool, "one");
  EXPECT_TRUE(spool.HasRoom(0, 4095, {.max_kib = 8}));
  EXPECT_FALSE(spool.HasRoom(0, 4096, {.max_kib = 8}));
  EXPECT_TRUE(spool.HasRoom(0, 1 << 20, {}));
  EXPECT_FALSE(spool.HasRoom(0, 1, {.max_kib = 8, .uid_max_kib = 4}));
  EXPECT_TRUE(spool.HasRoom(1000, 1, {.max_kib = 8, .uid_max_kib = 4}));
}

TEST_F(SpoolTest, MakesRoomFromWhoHoldsMostAndNeverOfWhatIsUnderWay) {
  Spool spool = Open();
  const auto put = [&](uid_t uid, unsigned severity) {
    SpoolFileName name = NameOf("x");
    name.uid = uid;
    const auto record = spool.Put(name, severity, SampleHeaderText(), "x");
    EXPECT_TRUE(record);
    spool.Append(*record);
    return *record;
  };
  const WaitingRecord under_way = put(65534, 1);
  ASSERT_EQ(spool.TakeOldest()->id(), under_way.id());
  put(65534, 3);
  const WaitingRecord least = put(65534, 2);
  const WaitingRecord roots = put(0, 1);
  const Spool::Bounds bounds{.max_kib = 16};
  EXPECT_FALSE(spool.TakeForRoom(0, 100, {.max_kib = 20})) << "there is room";
  const auto first = spool.TakeForRoom(0, 100, bounds);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id(), least.id());
  spool.Settle(*first);
  EXPECT_FALSE(spool.TakeForRoom(0, 100, bounds));
  EXPECT_FALSE(spool.TakeForRoom(0, 16 * 1024, bounds)) << "no room could be made";
  // Who is at its share makes room of its own.
  const auto second = spool.TakeForRoom(0, 100, {.max_kib = 100, .uid_max_kib = 4});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->id(), roots.id());
}

TEST_F(SpoolTest, LearnsTheSeverityOfWhatItFoundFromItsFiles) {
  {
    Spool former = Open();
    for (const char* severity : {"3", "1", "2"}) {
      HeaderViews headers = SampleHeaders();
      headers[Header::kSeverity] = severity;
      std::string text;
      AppendHeaders(text, headers);
      ASSERT_TRUE(former.Put(NameOf(severity), 1, text, severity));
    }
  }
  Spool spool = Open();
  ScanAll(spool);
  for (const char* severity : {"1", "2", "3"}) {
    const auto least = spool.TakeForRoom(0, 1, {.max_kib = 12 - 4 * (severity[0] - '1')});
    ASSERT_TRUE(least);
    EXPECT_EQ(PayloadOf(spool, *least), severity);
    spool.Settle(*least);
  }
}

// A clock that is set back or forward, also by a day, makes no record older than it is.
// A clock that was ahead, or not set yet, makes no record older than the others.
TEST_F(SpoolTest, TheAgeOfWhatItFoundIsThatOfItsFileWhereThatCanBe) {
  FakeClock clock;
  const int64_t now = EpochSeconds(clock.Now());
  const std::pair<const char*, int64_t> times[] = {
      {"of now", now}, {"5 h", now - 5 * 3600}, {"ahead", now + 86400}, {"not set", 1000}};
  {
    Spool former = Open();
    for (const auto& [payload, time] : times) {
      const WaitingRecord record = Put(former, payload, (now - 86400) * 1000);
      const timespec mtime[2] = {{}, {.tv_sec = time, .tv_nsec = 0}};
      const std::string path = folder_ / ("spool/" + record.name.ToText());
      ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), mtime, 0), 0);
    }
  }
  auto opened = Spool::Open(clock, folder_ / "spool", folder_ / "rejected");
  ASSERT_TRUE(opened);
  Spool spool = std::move(*opened);
  ScanAll(spool);
  const int32_t start = WaitingSeconds(clock.Monotonic());
  const auto oldest = spool.TakeOldest();
  EXPECT_EQ(PayloadOf(spool, *oldest), "5 h");
  EXPECT_EQ(oldest->since, start - 5 * 3600);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(spool.TakeOldest()->since, start);
}

// A machine without a clock of its own starts in the past, and a time server sets it later: what
// had waited for minutes was expired by the next daemon.
TEST_F(SpoolTest, WhatWaitsIsAsOldForTheNextDaemonWhenTheClockWasSet) {
  FakeClock clock;
  for (const auto step : {-24h * 365 * 3, -24h, -1h, 1h, 24h, 24h * 365 * 70}) {
    clock.SetWall(WallTime(std::chrono::seconds(1'795'445'503)));
    {
      auto former = Spool::Open(clock, folder_ / "spool", folder_ / "rejected");
      ASSERT_TRUE(former);
      WaitingRecord record = Put(*former, "x");
      record.since = WaitingSeconds(clock.Monotonic());
      former->Append(record);
      clock.Advance(10min);
      clock.SetWall(clock.Now() + step);
      former->ForEachWaiting(
          [&](const WaitingRecord& waiting) { EXPECT_TRUE(former->Restamp(waiting)); });
    }
    auto opened = Spool::Open(clock, folder_ / "spool", folder_ / "rejected");
    ASSERT_TRUE(opened);
    ScanAll(*opened);
    const auto found = opened->TakeOldest();
    ASSERT_TRUE(found);
    // To the second that the file's time is rounded up to.
    EXPECT_EQ(found->since, WaitingSeconds(clock.Monotonic()) - 599) << step.count() << " h";
    EXPECT_TRUE(opened->Remove(*found));
  }
}

TEST_F(SpoolTest, PutsARecordBackWhereItsAgeBelongs) {
  Spool spool = Open();
  for (const int64_t ms : {1000, 2000, 3000}) spool.Append(Put(spool, "x", ms));
  const auto first = spool.TakeOldest();
  const auto second = spool.TakeOldest();
  spool.PutBack(*second);
  spool.PutBack(*first);
  EXPECT_EQ(spool.TakeOldest()->id(), first->id());
  EXPECT_EQ(spool.TakeOldest()->id(), second->id());
}

TEST_F(SpoolTest, SaysThatAFileIsGone) {
  Spool spool = Open();
  const WaitingRecord record = Put(spool, "x");
  ASSERT_EQ(::unlink((folder_ / ("spool/" + record.name.ToText())).c_str()), 0);
  EXPECT_EQ(spool.Read(record).error().code, ErrorCode::kNotFound);
  spool.Settle(record);
  EXPECT_TRUE(spool.Remove(record));
  EXPECT_EQ(spool.bytes(), 0u);
}

}  // namespace
}  // namespace telem
