#include "probes/crash/live_process.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(OriginOfCgroupTest, TellsTheInnermostUnitWithoutWhomItIsFor) {
  EXPECT_EQ(OriginOfCgroup("/system.slice/nginx.service").unit, "nginx.service");
  EXPECT_EQ(OriginOfCgroup("/system.slice/system-getty.slice/getty@tty1.service").unit,
            "getty@tty1.service");
  EXPECT_EQ(OriginOfCgroup("/system.slice/system-syncthing.slice/syncthing@arthur.service").unit,
            "syncthing@<instance>.service");
  EXPECT_EQ(OriginOfCgroup("/user.slice/user-1000.slice/user@1000.service/init.scope").unit,
            "init.scope");
  EXPECT_EQ(OriginOfCgroup("/user.slice/user-1000.slice/user@1000.service").unit,
            "user@<uid>.service");
}

}  // namespace
}  // namespace telem
