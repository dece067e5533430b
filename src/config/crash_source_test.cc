#include "config/crash_source.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

constexpr const char* kTheirs = "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808";

TEST(CrashSourceTest, KnowsSystemdCoredumpByTheProgramThatIsCalled) {
  EXPECT_TRUE(IsSystemdCoredump(kTheirs));
  EXPECT_FALSE(IsSystemdCoredump("/var/lib/systemd-coredump/core.%p"));
  EXPECT_FALSE(IsSystemdCoredump("|/usr/bin/crashprobe -p %e"));
  EXPECT_FALSE(IsSystemdCoredump(""));
}

TEST(CrashSourceTest, LeavesSystemdCoredumpWhatItHasUnlessToldOtherwise) {
  Settings settings;
  EXPECT_TRUE(IsSystemdCoredumpWanted(settings, kTheirs));
  EXPECT_FALSE(IsSystemdCoredumpWanted(settings, "core"));
  for (const CrashForward ours : {CrashForward::kOff, CrashForward::kFile}) {
    settings.crash_forward = ours;
    EXPECT_FALSE(IsSystemdCoredumpWanted(settings, kTheirs));
  }
  settings.crash_forward = CrashForward::kSystemdCoredump;
  EXPECT_TRUE(IsSystemdCoredumpWanted(settings, "core"));
}

}  // namespace
}  // namespace telem
