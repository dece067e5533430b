#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace telem {
namespace {

// Senders were told that the spool was full where telemd had no descriptor left.
TEST(ResultTest, OnlyAFullDiskOrQuotaIsNoSpace) {
  for (const int err : {ENOSPC, EDQUOT}) EXPECT_EQ(CodeFromErrno(err), ErrorCode::kNoSpace) << err;
  for (const int err : {EMFILE, ENFILE, ENOMEM, EIO}) {
    EXPECT_EQ(CodeFromErrno(err), ErrorCode::kIo) << err;
  }
}

}  // namespace
}  // namespace telem
