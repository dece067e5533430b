#include "probes/crash/core_pattern.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"

namespace telem {
namespace {

// A folder in the place of /proc/sys/kernel.
class CorePatternTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/core_pattern.XXXXXX";
    folder_ = ::mkdtemp(name.data());
    settings_.state_dir = folder_ + "/state";
    ASSERT_EQ(::mkdir(settings_.state_dir.c_str(), 0755), 0);
    Set("core_pattern", "core.%p\n");
    Set("core_pipe_limit", "0\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Set(const std::string& name, const std::string& value) {
    ASSERT_TRUE(ReplaceFile(folder_ + "/" + name, value, 0644).has_value());
  }
  // The fake is a plain file, of which only what was written last counts.
  std::string Get(const std::string& name) {
    const std::string text = ReadFile(folder_ + "/" + name, 4096).value();
    return text.substr(0, text.find('\n'));
  }
  CorePattern Pattern() {
    return CorePattern(folder_, "/usr/bin/crashprobe", folder_ + "/s", settings_);
  }

  std::string folder_;
  Settings settings_;
};

TEST_F(CorePatternTest, MakesTheKernelCallAndPutsBackWhatWasThere) {
  ASSERT_TRUE(Pattern().SetUp().has_value());
  EXPECT_EQ(Get("core_pattern"), "|/usr/bin/crashprobe -p %e -E %E -s %s %P %i %I %t %u %g %c %d");
  EXPECT_EQ(Get("core_pipe_limit"), "16");
  EXPECT_EQ(CorePattern::Former(settings_), "core.%p");
  ASSERT_TRUE(Pattern().SetUp().has_value());
  EXPECT_EQ(CorePattern::Former(settings_), "core.%p");
  ASSERT_TRUE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), "core.%p");
  EXPECT_TRUE(Get("core_pipe_limit").starts_with("0"));
  EXPECT_TRUE(Pattern().Restore().has_value());
}

TEST_F(CorePatternTest, TakesTheSocketWhereTheKernelAndTheServiceHaveIt) {
  Set("core_modes", "file\npipe\nsocket\n");
  ASSERT_TRUE(Pattern().SetUp().has_value());
  EXPECT_TRUE(Get("core_pattern").ends_with(" %d %F"));
  Set("s", "");
  ASSERT_TRUE(Pattern().SetUp().has_value());
  EXPECT_EQ(Get("core_pattern"), "@@" + folder_ + "/s");
  EXPECT_EQ(CorePattern::Former(settings_), "core.%p");
}

// Through a socket nobody says how large a core the process wants, and none was handed on.
TEST_F(CorePatternTest, TakesThePipeWhereTheCoreIsHandedOnToAFile) {
  Set("core_modes", "file\npipe\nsocket\n");
  Set("s", "");
  settings_.crash_forward = CrashForward::kFile;
  ASSERT_TRUE(Pattern().SetUp().has_value());
  EXPECT_TRUE(Get("core_pattern").starts_with("|/usr/bin/crashprobe ")) << Get("core_pattern");
}

// What had been there before was lost, and then our own pattern was put "back" at removal: the
// kernel called a program that was not there any more.
TEST_F(CorePatternTest, PutsBackTheKernelsDefaultWhenNobodyKnowsWhatWasThere) {
  const std::string saved = settings_.state_dir + "/core_pattern";
  for (const bool sets_up_again : {true, false}) {
    Set("core_pattern", "core.%p\n");
    ASSERT_TRUE(Pattern().SetUp().has_value());
    ASSERT_EQ(::unlink(saved.c_str()), 0);
    if (sets_up_again) {
      ASSERT_TRUE(Pattern().SetUp().has_value());
    }
    EXPECT_EQ(CorePattern::Former(settings_), sets_up_again ? "core" : "");
    ASSERT_TRUE(Pattern().Restore().has_value());
    EXPECT_EQ(Get("core_pattern"), "core");
    EXPECT_EQ(Get("core_pipe_limit"), "0");
  }
}

TEST_F(CorePatternTest, NeverPutsBackOneOfOurs) {
  Set("core_modes", "file\npipe\nsocket\n");
  Set("s", "");
  for (const std::string& ours : {std::string("|/usr/bin/crashprobe -p %e -E %E -s %s"),
                                  std::string("|/usr/local/bin/crashprobe -f /c -p %e"),
                                  "@" + folder_ + "/s", "@@" + folder_ + "/s"}) {
    Set("core_pattern", ours + "\n");
    ASSERT_TRUE(Pattern().SetUp().has_value());
    EXPECT_EQ(CorePattern::Former(settings_), "core") << ours;
    ASSERT_TRUE(Pattern().Restore().has_value());
    EXPECT_EQ(Get("core_pattern"), "core") << ours;
  }
  Set("core_pattern", "|/usr/bin/notcrashprobe %p\n");
  EXPECT_TRUE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), "|/usr/bin/notcrashprobe %p");
}

// An upgrade that moved the program, or an administrator who gave it options.
TEST_F(CorePatternTest, KeepsWhatWasThereWhenItIsSetUpInAnotherWay) {
  ASSERT_TRUE(Pattern().SetUp().has_value());
  CorePattern other(folder_, "/opt/bin/crashprobe", folder_ + "/s", settings_);
  ASSERT_TRUE(other.SetUp().has_value());
  EXPECT_EQ(CorePattern::Former(settings_), "core.%p");
  ASSERT_TRUE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), "core.%p");
}

// A SetUp() that was killed had set core_pipe_limit, and nothing put it back.
TEST_F(CorePatternTest, PutsTheLimitBackWhenOnlyThatWasSet) {
  ASSERT_TRUE(Pattern().SetUp().has_value());
  Set("core_pattern", "core.%p\n");
  ASSERT_TRUE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), "core.%p");
  EXPECT_TRUE(Get("core_pipe_limit").starts_with("0"));
}

// telemd's user owns the folder: what it writes there would be started by the kernel as root.
TEST_F(CorePatternTest, PutsNothingBackThatOthersCouldHaveWritten) {
  ASSERT_TRUE(Pattern().SetUp().has_value());
  const std::string saved = settings_.state_dir + "/core_pattern";
  const std::string ours = Get("core_pattern");
  ASSERT_EQ(::chmod(saved.c_str(), 0666), 0);
  EXPECT_FALSE(Pattern().Restore().has_value());
  EXPECT_EQ(CorePattern::Former(settings_), "");
  ASSERT_EQ(::unlink(saved.c_str()), 0);
  Set("evil", "|/tmp/evil\n0\n" + ours + "\n");
  ASSERT_EQ(::symlink((folder_ + "/evil").c_str(), saved.c_str()), 0);
  EXPECT_FALSE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), ours);
}

TEST_F(CorePatternTest, ChangesNothingWhenItCannotDoAllOfIt) {
  const std::string name(120, 'x');
  EXPECT_FALSE(CorePattern(folder_, "/" + name, "", settings_).SetUp().has_value());
  EXPECT_EQ(Get("core_pattern"), "core.%p");
  EXPECT_EQ(Get("core_pipe_limit"), "0");
  EXPECT_EQ(::access((settings_.state_dir + "/core_pattern").c_str(), F_OK), -1);
}

TEST_F(CorePatternTest, LeavesAPatternAloneThatSomebodyElseHasSetSince) {
  ASSERT_TRUE(Pattern().SetUp().has_value());
  Set("core_pattern", "|/usr/bin/other\n");
  ASSERT_TRUE(Pattern().Restore().has_value());
  EXPECT_EQ(Get("core_pattern"), "|/usr/bin/other");
}

TEST_F(CorePatternTest, LeavesSystemdCoredumpWhereItShallStay) {
  Set("core_pattern", "|/lib/systemd/systemd-coredump %P\n");
  for (const CrashForward theirs : {CrashForward::kAuto, CrashForward::kSystemdCoredump}) {
    settings_.crash_forward = theirs;
    EXPECT_FALSE(Pattern().SetUp().has_value());
    EXPECT_EQ(Get("core_pattern"), "|/lib/systemd/systemd-coredump %P");
  }
  settings_.crash_forward = CrashForward::kOff;
  EXPECT_TRUE(Pattern().SetUp().has_value());
  EXPECT_NE(Get("core_pattern"), "|/lib/systemd/systemd-coredump %P");
}

TEST(ExpandCorePatternTest, NamesFilesAsTheKernelDoes) {
  CoreFileValues values;
  values.pid = 42;
  values.signal = 11;
  values.name = "../evil";
  values.exe = "/usr/bin/evil";
  EXPECT_EQ(ExpandCorePattern("/var/core/%e.%P.%s%%", values), "/var/core/..!evil.42.11%");
  EXPECT_EQ(ExpandCorePattern("%E-%q-%", values), "!usr!bin!evil--");
  values.name = "..";
  EXPECT_EQ(ExpandCorePattern("%e", values), "!!");
  values.uses_pid = true;
  values.inner_pid = 7;
  EXPECT_EQ(ExpandCorePattern("core", values), "core.7");
  EXPECT_EQ(ExpandCorePattern("core-%p", values), "core-7");
  EXPECT_EQ(ExpandCorePattern("core-%P", values), "core-42.7");
}

}  // namespace
}  // namespace telem
