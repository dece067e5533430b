#include "unwind/module_map.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

constexpr char kMaps[] =
    "55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12 /usr/bin/example\n"
    "55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 12 /usr/bin/example\n"
    "55d0c0002000-55d0c0003000 rw-p 00002000 fe:00 12 /usr/bin/example\n"
    "55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                  [heap]\n"
    "7f0000000000-7f0000001000 r--p 00000000 fe:00 13 /usr/lib/with blank.so (deleted)\n"
    "7f0000001000-7f0000002000 r-xp 00001000 fe:00 13 /usr/lib/with blank.so (deleted)\n"
    "7f0000010000-7f0000020000 rwxp 00000000 00:00 0 \n"
    "7f0000030000-7f0000040000 r--p 00000000 fe:00 14 /usr/share/font\n"
    "7fff00000000-7fff00021000 rw-p 00000000 00:00 0                  [stack]\n"
    "7fff00100000-7fff00102000 r-xp 00000000 00:00 0                  [vdso]\n";

TEST(ModuleMapTest, FindsFilesWithCodeAndTheVdso) {
  const ModuleMap map(ParseMaps(kMaps));
  ASSERT_EQ(map.modules().size(), 3u);
  EXPECT_EQ(map.modules()[0].path, "/usr/bin/example");
  EXPECT_EQ(map.modules()[0].start, 0x55d0c0000000u);
  EXPECT_EQ(map.modules()[0].first_end, 0x55d0c0001000u);
  EXPECT_EQ(map.modules()[0].end, 0x55d0c0003000u);
  EXPECT_EQ(map.modules()[1].path, "/usr/lib/with blank.so");
  EXPECT_TRUE(map.modules()[1].deleted);
  EXPECT_EQ(map.modules()[2].path, kVdso);
}

TEST(ModuleMapTest, KnowsWhatLiesAtAnAddress) {
  const ModuleMap map(ParseMaps(kMaps));
  EXPECT_EQ(map.FindModule(0x55d0c0001fff), 0u);
  EXPECT_EQ(map.FindModule(0x55d0c0003000), std::nullopt);
  EXPECT_EQ(map.FindModule(0), std::nullopt);
  EXPECT_TRUE(map.IsExecutable(0x7f0000010000));
  EXPECT_FALSE(map.IsExecutable(0x55d0c1000000));
  EXPECT_EQ(map.FindMapping(0x7f0000020000), nullptr);
}

TEST(ModuleMapTest, TellsTwoCopiesOfOneFileApart) {
  const ModuleMap map(
      ParseMaps("1000-2000 r-xp 00000000 fe:00 1 /usr/lib/x.so\n"
                "2000-3000 rw-p 00001000 fe:00 1 /usr/lib/x.so\n"
                "3000-4000 r-xp 00000000 fe:00 1 /usr/lib/x.so\n"));
  ASSERT_EQ(map.modules().size(), 2u);
  EXPECT_EQ(map.modules()[0].end, 0x3000u);
  EXPECT_EQ(map.modules()[1].start, 0x3000u);
}

TEST(ModuleMapTest, PassesOverLinesThatAreNone) {
  EXPECT_TRUE(
      ParseMaps("\nnonsense\n1-\n-1\n2000-1000 r-xp 0 0 0 x\nzz-yy r-xp 0 0 0 x\n").empty());
  EXPECT_EQ(ParseMaps("1000-2000 r-xp 00000000 fe:00 1 /a\\012b").front().path, "/a\nb");
}

TEST(ModuleMapTest, TakesPermissionsOfACoreFromItsSegments) {
  CoreNotes notes;
  notes.files = {{0x1000, 0x2000, 0, "/usr/bin/x"}, {0x2000, 0x3000, 0x1000, "/usr/bin/x"}};
  notes.segments = {
      {0x1000, 0x1000, 0, 0, 4}, {0x2000, 0x1000, 0, 0, 5}, {0x9000, 0x1000, 0, 0, 6}};
  const ModuleMap map(MappingsOf(notes));
  ASSERT_EQ(map.modules().size(), 1u);
  EXPECT_EQ(map.modules()[0].end, 0x3000u);
  EXPECT_FALSE(map.IsExecutable(0x1000));
  EXPECT_TRUE(map.IsExecutable(0x2000));
  EXPECT_NE(map.FindMapping(0x9000), nullptr);
}

TEST(ModuleMapTest, LeavesOutMappingsThatOverlap) {
  const ModuleMap map(
      ParseMaps("1000-5000 r-xp 00000000 fe:00 1 /a\n2000-3000 r-xp 00000000 fe:00 2 /b\n"));
  ASSERT_EQ(map.modules().size(), 1u);
  EXPECT_EQ(map.modules()[0].path, "/a");
}

}  // namespace
}  // namespace telem
