#include "daemon/control_rights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace telem {
namespace {

class ControlRightsTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/telem-rights-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    etc_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(etc_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(etc_ + "/" + name) << text;
  }
  static std::string OwnLine(const std::string& name) {
    return name + ":x:" + std::to_string(::geteuid()) + ":7::/nonexistent:/usr/sbin/nologin\n";
  }

  std::string etc_;
};

TEST_F(ControlRightsTest, WhoStartedTelemdMayDoAll) {
  Write("passwd", OwnLine("somebody") + "telemetry:x:123456:7::/:/bin/false\n");
  const auto rights = FindControlRights(etc_);
  ASSERT_TRUE(rights);
  EXPECT_EQ(rights->owner, ::geteuid());
}

// Probes run as telemetry; one that was taken over could have dropped all records, or imported
// some.
TEST_F(ControlRightsTest, TheUserTelemetryMayNotChangeWhatItsOwnTelemdKeeps) {
  Write("passwd", "root:x:0:0:root:/root:/bin/sh\n" + OwnLine("telemetry"));
  const auto rights = FindControlRights(etc_);
  ASSERT_TRUE(rights);
  EXPECT_FALSE(rights->owner);
}

TEST_F(ControlRightsTest, MembersOfAdmAndTelemetryMayLook) {
  Write("group", "root:x:0:\nadmin:x:3:adm\nadm:x:4:somebody\n\n:::\ntelemetry:x:988:\n");
  const auto rights = FindControlRights(etc_);
  ASSERT_TRUE(rights);
  EXPECT_EQ(rights->readers, (std::vector<gid_t>{4, 988}));
}

TEST_F(ControlRightsTest, AFileThatIsNotThereOrDamagedNamesNobody) {
  const auto without = FindControlRights(etc_);
  ASSERT_TRUE(without);
  EXPECT_EQ(without->owner, ::geteuid());
  EXPECT_TRUE(without->readers.empty());
  Write("group", "adm\nadm:\nadm:x\nadm:x:\nadm:x:-1:\nadm:x:4294967295:\ntelemetry:x:5");
  const auto damaged = FindControlRights(etc_);
  ASSERT_TRUE(damaged);
  EXPECT_EQ(damaged->readers, std::vector<gid_t>{5});
}

TEST_F(ControlRightsTest, WhatCannotBeReadIsAnError) {
  std::filesystem::create_directory(etc_ + "/passwd");
  EXPECT_FALSE(FindControlRights(etc_));
}

}  // namespace
}  // namespace telem
