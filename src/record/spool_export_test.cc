#include "record/spool_export.h"

#include <gtest/gtest.h>

#include "record/sample_headers.h"

namespace telem {
namespace {

const SpoolFileName kName{*ParseRecordId("0199f2a3b4c5aabbccddeeff00112233"), 1000, 6};

std::string SpoolFile() { return SampleHeaderText() + "hello\n" + "\n"; }
std::string RecordItem() { return ExportHead(kName, SpoolFile()) + SpoolFile(); }

std::string MistakeIn(std::string_view bytes) {
  const auto item = TakeExportItem(bytes);
  if (!item) return item.error().message;
  return *item ? "none" : "needs more";
}

TEST(SpoolExportTest, CountsAsTheStandardDoes) {
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926u);  // the check value of the catalogues
  EXPECT_EQ(Crc32("6789", Crc32("12345")), 0xcbf43926u);
  EXPECT_EQ(Crc32(""), 0u);
}

TEST(SpoolExportTest, HasTheFormOfTheDocumentation) {
  EXPECT_TRUE(ExportHead(kName, "abc")
                  .starts_with("record 0199f2a3b4c5aabbccddeeff00112233-1000-6 3 6fd996aa\n"));
  EXPECT_EQ(ExportEnd(12), "end 12\n");
}

TEST(SpoolExportTest, GivesBackWhatWasPutIn) {
  const std::string file = RecordItem() + ExportEnd(1);
  std::string_view bytes = file;
  const auto record = TakeExportItem(bytes);
  ASSERT_TRUE(record && *record);
  EXPECT_EQ((*record)->kind, ExportItem::Kind::kRecord);
  EXPECT_EQ((*record)->name, kName);
  EXPECT_EQ((*record)->spool_file, SpoolFile());
  const auto end = TakeExportItem(bytes);
  ASSERT_TRUE(end && *end);
  EXPECT_EQ((*end)->kind, ExportItem::Kind::kEnd);
  EXPECT_EQ((*end)->count, 1u);
  EXPECT_TRUE(bytes.empty());
}

TEST(SpoolExportTest, AsksForMoreAtEveryCut) {
  const std::string item = RecordItem();
  for (size_t size = 0; size < item.size(); ++size) {
    const std::string_view front = std::string_view(item).substr(0, size);
    EXPECT_EQ(MistakeIn(front), "needs more") << size;
  }
}

TEST(SpoolExportTest, NoticesEveryByteThatChanged) {
  const std::string good = RecordItem();
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    std::string_view bytes = bad;
    const auto item = TakeExportItem(bytes);
    EXPECT_FALSE(item && *item) << at;
  }
}

TEST(SpoolExportTest, SaysWhatIsWrong) {
  EXPECT_EQ(MistakeIn("hello\n"), "no line of an export");
  EXPECT_EQ(MistakeIn(std::string(200, 'x')), "no line of an export");
  EXPECT_EQ(MistakeIn("end many\n"), "no line of an export");
  EXPECT_EQ(MistakeIn("record x 3 6fd996aa\nabc"), "no line of a record");
  EXPECT_EQ(MistakeIn("record " + kName.ToText() + " 99999999 6fd996aa\n"), "no line of a record");
  EXPECT_EQ(MistakeIn(ExportHead(kName, "abc") + "abd"), "a record was damaged");
  EXPECT_TRUE(MistakeIn(ExportHead(kName, "abc") + "abc").starts_with("a record's bytes are none"));
}

}  // namespace
}  // namespace telem
