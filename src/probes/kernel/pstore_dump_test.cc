#include "probes/kernel/pstore_dump.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>

#include "probes/kernel/pstore_file.h"

namespace telem {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr sys_seconds kWhen{seconds(1'700'000'000)};

PstoreFile File(std::string name, std::string bytes, sys_seconds when = kWhen) {
  return {
      .path = "/x/" + name, .name = std::move(name), .bytes = std::move(bytes), .modified = when};
}

constexpr char kOops[] =
    "<1>[   10.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
    "<4>[   10.000002] CPU: 0 PID: 5 Comm: crashd Not tainted 6.1.0-28-amd64 #1\n"
    "<4>[   10.000003] RIP: 0010:drain+0x2b/0x90 [mod]\n"
    "<4>[   10.000004] Call Trace:\n"
    "<4>[   10.000005]  mod_read+0x64/0x110 [mod]\n"
    "<4>[   10.000006] ---[ end trace 0000000000000000 ]---\n";
constexpr char kPanic[] = "<0>[   10.100000] Kernel panic - not syncing: Fatal exception\n";

std::vector<ProbeRecord> RecordsOf(std::vector<PstoreFile> files) {
  std::vector<ProbeRecord> records;
  for (const PstoreDump& dump : JoinDumps(std::move(files))) {
    for (ProbeRecord& record : MakeDumpRecords(dump, "boot")) records.push_back(record);
  }
  DropWhatPanicsTell(records);
  return records;
}

std::string Deflated(const std::string& text, int window) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY),
            Z_OK);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

TEST(PstoreFileTest, KnowsTheNamesOfAllBackends) {
  for (const char* name : {"dmesg-efi-170000000012001", "dmesg-efi_pstore-170000000012001",
                           "dmesg-ramoops-0", "dmesg-erst-7021312345678905346", "dmesg-nvram-1",
                           "dmesg-pstore_blk-3", "dmesg-nvme-1", "dmesg-ramoops-0.enc.z"}) {
    const auto parsed = ParsePstoreName(name);
    ASSERT_TRUE(parsed) << name;
    EXPECT_FALSE(parsed->is_console);
  }
  EXPECT_EQ(ParsePstoreName("dmesg-pstore_blk-3")->backend, "pstore_blk");
  EXPECT_TRUE(ParsePstoreName("dmesg-erst-1.enc.z")->is_compressed);
  EXPECT_TRUE(ParsePstoreName("console-ramoops-0")->is_console);
  EXPECT_EQ(ParsePstoreName("dmesg-efi-170000000012001")->time, kWhen);
  EXPECT_FALSE(ParsePstoreName("dmesg-erst-170000000012001")->time);
}

TEST(PstoreFileTest, TakesNoOtherNames) {
  for (const char* name : {"", "dmesg", "dmesg-", "dmesg-erst", "dmesg-erst-", "dmesg-erst-x",
                           "dmesg--1", "dmesg-1", "pmsg-ramoops-0", "ftrace-ramoops-0", "dmesg.txt",
                           ".enc.z", "dmesg-erst-99999999999999999999"}) {
    EXPECT_FALSE(ParsePstoreName(name)) << name;
  }
}

TEST(PstoreFileTest, TakesTheHeaderOff) {
  std::string_view text = "Panic#2 Part13\n<0>[ 1.0] x\n";
  const auto header = TakePstoreHeader(text);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->reason, "Panic");
  EXPECT_EQ(header->count, 2U);
  EXPECT_EQ(header->part, 13U);
  EXPECT_EQ(text, "<0>[ 1.0] x\n");
  for (const char* other : {"", "Panic#2 Part1", "#2 Part1\n", "Panic#x Part1\n", "Panic#2 Part0\n",
                            "Panic#2 Part-1\n", "<0>[ 1.0] a#1 Part1\n", "\n"}) {
    std::string_view rest = other;
    EXPECT_FALSE(TakePstoreHeader(rest)) << other;
    EXPECT_EQ(rest, other);
  }
}

TEST(PstoreFileTest, DecompressesWithAndWithoutAHeaderOfZlib) {
  for (const int window : {MAX_WBITS, 12, -MAX_WBITS}) {
    EXPECT_EQ(Decompress(Deflated(kOops, window), 1 << 20).value_or(""), kOops) << window;
  }
  EXPECT_FALSE(Decompress("\xff\xfe not zlib", 1 << 20));
  EXPECT_FALSE(Decompress("", 1 << 20));
}

TEST(PstoreFileTest, WhatIsCutShortGivesWhatIsThereAndABombNoMoreThanItsLimit) {
  const std::string whole = Deflated(kOops, -MAX_WBITS);
  const auto half = Decompress(whole.substr(0, whole.size() / 2), 1 << 20);
  ASSERT_TRUE(half);
  EXPECT_TRUE(std::string_view(kOops).starts_with(*half));
  EXPECT_EQ(Decompress(Deflated(std::string(5'000'000, 'x'), MAX_WBITS), 5000)->size(), 5000U);
}

TEST(PstoreDumpTest, JoinsPartsFromTheBeginningOfTheLog) {
  const std::string log = std::string(kOops) + kPanic;
  std::vector<PstoreFile> files;
  constexpr size_t kPart = 100;  // cuts lines
  const size_t parts = (log.size() + kPart - 1) / kPart;
  for (size_t i = 0; i < parts; ++i) {
    const size_t number = parts - i;
    files.push_back(
        File("dmesg-efi_pstore-1700000000" + std::string(number < 10 ? "0" : "") +
                 std::to_string(number) + "001",
             "Panic#1 Part" + std::to_string(number) + "\n" + log.substr(i * kPart, kPart)));
  }
  const auto records = RecordsOf(files);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].classification, "kernel/bug");
  EXPECT_EQ(records[0].severity, 4U);
  EXPECT_NE(records[0].payload.find("Guilty : drain\n"), std::string::npos);
  EXPECT_NE(records[0].payload.find("Panic : Kernel panic - not syncing: Fatal"),
            std::string::npos);
  EXPECT_EQ(records[0].payload.find("Left out"), std::string::npos);
}

TEST(PstoreDumpTest, SaysWhichPartIsMissing) {
  const auto records = RecordsOf({File("dmesg-erst-3", std::string("Panic#1 Part4\n") + kOops),
                                  File("dmesg-erst-1", std::string("Panic#1 Part1\n") + kPanic)});
  ASSERT_EQ(records.size(), 1U);
  EXPECT_NE(records[0].payload.find("Left out : part 2 to 3 is missing\n"), std::string::npos);
}

TEST(PstoreDumpTest, SeveralCrashesOfOneBootAreSeveralDumps) {
  const auto dumps = JoinDumps({File("dmesg-erst-1", "Oops#1 Part1\na\n"),
                                File("dmesg-erst-2", "Panic#2 Part1\nb\n"),
                                File("dmesg-erst-3", "Panic#2 Part2\nc\n")});
  ASSERT_EQ(dumps.size(), 2U);
  EXPECT_EQ(dumps[0].reason, "Oops");
  EXPECT_EQ(dumps[1].parts.size(), 2U);
}

TEST(PstoreDumpTest, CrashesOfTwoBootsAreNotMixed) {
  EXPECT_EQ(JoinDumps({File("dmesg-ramoops-0", "Panic#1 Part1\na\n", kWhen),
                       File("dmesg-ramoops-1", "Panic#1 Part1\nb\n", kWhen),
                       File("dmesg-ramoops-2", "Panic#1 Part2\nc\n", kWhen + seconds(3600))})
                .size(),
            3U);
}

// The dump of the panic holds the log of the oops as well, and klogscanner may have told of it.
TEST(PstoreDumpTest, AnOopsThatLedToThePanicIsToldOnce) {
  const auto records =
      RecordsOf({File("dmesg-erst-1", std::string("Oops#1 Part1\n") + kOops),
                 File("dmesg-erst-2", std::string("Panic#2 Part1\n") + kOops + kPanic)});
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].aspect, "panic");
}

TEST(PstoreDumpTest, ADumpWithoutReportSaysThat) {
  const auto records = RecordsOf({File("dmesg-erst-1", "Panic#1 Part1\n<6>[ 1.0] usb\n"),
                                  File("dmesg-erst-2", "Shutdown#1 Part1\n<6>[ 1.0] usb\n")});
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].classification, "kernel/panic");
  EXPECT_EQ(records[0].payload,
            "Crash Report:\nReason: Panic, of which no report was kept\nBacktrace :\n");
}

TEST(PstoreDumpTest, ACompressedPartIsReadAndOneThatCannotBeIsAFlaw) {
  const auto records =
      RecordsOf({File("dmesg-erst-1.enc.z", Deflated(std::string("Oops#1 Part1\n") + kOops, -15))});
  ASSERT_EQ(records.size(), 1U);
  const auto dumps = JoinDumps({File("dmesg-erst-2.enc.z", "\xff\xff\xff")});
  ASSERT_EQ(dumps.size(), 1U);
  EXPECT_EQ(dumps[0].flaws, std::vector<std::string>{"'/x/dmesg-erst-2.enc.z': compressed in a way "
                                                     "that is not zlib's, or damaged"});
}

// Its only trace was a line on stderr, and the file was removed.
TEST(PstoreDumpTest, WhatCannotBeReadGivesARecordThatSaysSo) {
  const auto records =
      RecordsOf({File("dmesg-erst-1.enc.z", "\xff\xff\xff"), File("dmesg-erst-2.enc.z", "\xff\xff"),
                 File("dmesg-erst-3", "no log")});
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].classification, "kernel/bug");
  EXPECT_EQ(
      records[0].payload,
      "Crash Report:\nReason: the log of a crash, which cannot be read: compressed in a way that "
      "is not zlib's, or damaged\nBacktrace :\n");
  EXPECT_EQ(records[0].event_id, records[1].event_id);
  EXPECT_NE(records[0].event_id, records[2].event_id);
}

// A log reaches back to before the user's consent, although the crash was after it.
TEST(PstoreDumpTest, EachReportHasATimeOfItsOwn) {
  const std::string later =
      "<1>[ 4000.000001] BUG: unable to handle page fault\n"
      "<4>[ 4000.000003] RIP: 0010:later+0x2b/0x90 [mod]\n"
      "<4>[ 4000.000006] ---[ end trace 0000000000000000 ]---\n"
      "<0>[ 4010.000000] Kernel panic - not syncing: Fatal exception\n";
  const auto dumps =
      JoinDumps({File("dmesg-erst-1", std::string("Panic#1 Part1\n") + kOops + later)});
  ASSERT_EQ(dumps.size(), 1U);
  EXPECT_EQ(MakeDumpRecords(dumps[0], "").size(), 2U);
  std::vector<sys_seconds> asked;
  const auto records = MakeDumpRecords(dumps[0], "", [&](sys_seconds when) {
    asked.push_back(when);
    return when < kWhen - seconds(60);
  });
  ASSERT_EQ(records.size(), 1U);
  EXPECT_NE(records[0].payload.find("Guilty : later\n"), std::string::npos);
  EXPECT_EQ(asked, (std::vector<sys_seconds>{kWhen - seconds(3999), kWhen - seconds(9)}));
}

TEST(PstoreDumpTest, WhatHasNoHeaderIsReadAllTheSame) {
  EXPECT_EQ(RecordsOf({File("dmesg-ramoops-0", kOops)}).size(), 1U);
  EXPECT_EQ(RecordsOf({File("console-ramoops-0", kOops)}).size(), 1U);
  EXPECT_EQ(RecordsOf({File("console-ramoops-0", "[    1.0] quiet\n")}).size(), 0U);
}

TEST(PstoreDumpTest, EveryFileIsInExactlyOneDump) {
  std::vector<PstoreFile> files = {File("dmesg-erst-1", ""),
                                   File("dmesg-erst-2", "x"),
                                   File("other", "y"),
                                   File("dmesg-erst-3", "Panic#1 Part1\n"),
                                   File("console-ramoops-0", kOops),
                                   File("dmesg-erst-4", std::string(3'000'000, '\xff'))};
  std::vector<std::string> paths;
  for (const PstoreDump& dump : JoinDumps(files)) {
    paths.insert(paths.end(), dump.paths.begin(), dump.paths.end());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> expected;
  expected.reserve(files.size());
  for (const PstoreFile& file : files) expected.push_back(file.path);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(paths, expected);
}

}  // namespace
}  // namespace telem
