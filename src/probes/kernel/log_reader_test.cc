#include "probes/kernel/log_reader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/files.h"

namespace telem {
namespace {

UniqueFd FileOf(std::string_view text) {
  UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  EXPECT_TRUE(WriteAll(file.get(), text));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  return file;
}

std::vector<RawReport> ReadAllOf(std::string_view text) {
  std::vector<RawReport> reports;
  const UniqueFd file = FileOf(text);
  EXPECT_TRUE(ReadReports(file.get(), [&](const RawReport& raw) -> Status {
    reports.push_back(raw);
    return {};
  }));
  return reports;
}

constexpr std::string_view kBug =
    "[    1.000001] BUG: unable to handle page fault for address: 1\n"
    "[    1.000002] Call Trace:\n"
    "[    1.000003]  left+0x1/0x2\n"
    "[    1.000004] ---[ end trace 0000000000000000 ]---\n";

TEST(LogReaderTest, FindsAReportWhereverThePiecesEnd) {
  constexpr size_t kPiece = 256 * 1024;
  for (size_t before : {kPiece - 150, kPiece - 100, kPiece - 50, kPiece - 1, kPiece}) {
    std::string log;
    while (log.size() + 50 < before) log += "[    0.500000] usb 1-1: new device number five  \n";
    log += std::string(before - log.size() - 1, 'x') + "\n" + std::string(kBug);
    const auto reports = ReadAllOf(log);
    ASSERT_EQ(reports.size(), 1U) << before;
    EXPECT_EQ(reports[0].lines.size(), 4U);
  }
}

TEST(LogReaderTest, AReportAtTheEndNeedsNoNewline) {
  EXPECT_EQ(ReadAllOf(kBug.substr(0, kBug.size() - 1)).size(), 1U);
}

TEST(LogReaderTest, ALineWithoutEndIsCutAndHidesNothingBehindIt) {
  EXPECT_EQ(ReadAllOf(std::string(3'000'000, 'x') + "\n" + std::string(kBug)).size(), 1U);
}

TEST(LogReaderTest, EndsWithTheFirstErrorOfItsUser) {
  const UniqueFd file = FileOf(std::string(kBug) + std::string(kBug));
  int calls = 0;
  const Status status = ReadReports(file.get(), [&](const RawReport&) -> Status {
    ++calls;
    return Fail(ErrorCode::kUnavailable, "no");
  });
  EXPECT_FALSE(status);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace telem
