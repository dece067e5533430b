#include "store/machine_id.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/text.h"
#include "store/store_test_folder.h"

namespace telem {
namespace {

using std::chrono::hours;

class MachineIdTest : public testing::Test {
 protected:
  // A file that was last written so long ago.
  void WriteFile(std::string_view text, hours age) {
    folder_.Write("machine_id", text);
    const auto at = std::chrono::floor<std::chrono::seconds>(now_ - age).time_since_epoch().count();
    const timespec times[2] = {{at, 0}, {at, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ / "machine_id").c_str(), times, 0), 0);
  }
  MachineId Load() {
    MachineId id(folder_.path(), folder_.path());
    problems_ = id.Load(now_);
    return id;
  }

  TestFolder folder_;
  WallTime now_ = SystemClock().Now();
  std::vector<std::string> problems_;
};

constexpr char kKnown[] = "44b5cf907cf3fefbf924c3a99a6bb86a";

TEST_F(MachineIdTest, MakesOneAndKeepsIt) {
  const std::string first = Load().value();
  EXPECT_TRUE(IsLowerHex(first, 32));
  EXPECT_EQ(folder_.Read("machine_id"), first + "\n");
  EXPECT_EQ(Load().value(), first);
  EXPECT_TRUE(problems_.empty());
}

TEST_F(MachineIdTest, TakesOverTheFileOf1xAndReplacesItAfterThreeDays) {
  WriteFile(kKnown, hours(71));
  MachineId id = Load();
  EXPECT_EQ(id.value(), kKnown);
  EXPECT_TRUE(id.RenewIfOld(now_).empty());
  EXPECT_EQ(id.value(), kKnown);
  now_ += hours(2);
  id.RenewIfOld(now_);
  EXPECT_NE(id.value(), kKnown);
  WriteFile(kKnown, hours(73));
  EXPECT_NE(Load().value(), kKnown);
}

TEST_F(MachineIdTest, TrustsNoFileFromTheFuture) {
  WriteFile(kKnown, hours(-23));
  EXPECT_EQ(Load().value(), kKnown);
  WriteFile(kKnown, hours(-25));
  EXPECT_NE(Load().value(), kKnown);
}

// An empty file once meant the id "0" for three days; one of 5,000 bytes overran a buffer.
TEST_F(MachineIdTest, ReplacesWhatIsNoMachineId) {
  for (const std::string& broken :
       {std::string(), std::string("\n"), std::string("xyz"), std::string(5000, 'a'),
        std::string(31, 'a'), std::string("44B5CF907CF3FEFBF924C3A99A6BB86A")}) {
    WriteFile(broken, hours(1));
    EXPECT_TRUE(IsLowerHex(Load().value(), 32)) << broken.size();
    EXPECT_NE(folder_.Read("machine_id"), broken);
  }
}

TEST_F(MachineIdTest, AStaticIdOverridesTheFile) {
  folder_.Write("opt-in-static-machine-id", "rack 7, the third from below, blue cable\nmore\n");
  const MachineId id = Load();
  EXPECT_TRUE(id.is_static());
  EXPECT_EQ(id.value(), "rack 7, the third from below, bl");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "machine_id"));
}

TEST_F(MachineIdTest, AStaticIdThatIsUnfitIsToldAndNotUsed) {
  for (const char* unfit : {"", "\n",
                            "a\x1e"
                            "b\n",
                            "caf\xc3\xa9\n"}) {
    folder_.Write("opt-in-static-machine-id", unfit);
    const MachineId id = Load();
    EXPECT_FALSE(id.is_static());
    EXPECT_TRUE(IsLowerHex(id.value(), 32));
    EXPECT_EQ(problems_.size(), 1u);
  }
}

TEST_F(MachineIdTest, HoldsForOneRunWhereItCannotBeWritten) {
  MachineId id("/nonexistent", folder_.path());
  EXPECT_EQ(id.Load(now_).size(), 1u);
  EXPECT_TRUE(IsLowerHex(id.value(), 32));
}

}  // namespace
}  // namespace telem
