// The socket that the collector listens on.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

// Whether `address` has the form 127.0.0.1:8080 or [::1]:8080 (numeric; port 0 picks a free one).
bool IsListenAddress(std::string_view address);

struct ListenSocket {
  UniqueFd fd;
  std::string url;  // "http://127.0.0.1:8080/", with the port that it really has
};

// kBusy when the port is in use.
Result<ListenSocket> Listen(const std::string& address);

}  // namespace telem
