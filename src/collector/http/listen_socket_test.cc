#include "collector/http/listen_socket.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(ListenSocketTest, KnowsNumericAddressesWithAPort) {
  for (const char* good : {"127.0.0.1:8080", "0.0.0.0:0", "[::1]:65535", "[::]:80"}) {
    EXPECT_TRUE(IsListenAddress(good)) << good;
  }
  for (const char* bad : {"", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80",
                          "[::1]", "[]:80", "localhost:80", "127.0.0.1:+80", "1.2.3:80"}) {
    EXPECT_FALSE(IsListenAddress(bad)) << bad;
  }
}

TEST(ListenSocketTest, SaysWhichPortItPicked) {
  const auto listening = Listen("127.0.0.1:0");
  ASSERT_TRUE(listening) << listening.error().message;
  EXPECT_TRUE(listening->url.starts_with("http://127.0.0.1:"));
  EXPECT_TRUE(listening->url.ends_with("/"));
  EXPECT_NE(listening->url, "http://127.0.0.1:0/");
}

TEST(ListenSocketTest, SaysThatAPortIsInUse) {
  const auto first = Listen("127.0.0.1:0");
  ASSERT_TRUE(first);
  const std::string address = first->url.substr(7, first->url.size() - 8);
  const auto second = Listen(address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_EQ(second.error().message, "listen on " + address + ": Address already in use");
}

}  // namespace
}  // namespace telem
