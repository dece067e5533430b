#include "probes/crash/crash_turn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "base/files.h"
#include "base/text.h"

namespace telem {

std::optional<CrashTurn> CrashTurn::Wait(const std::string& folder,
                                         std::chrono::milliseconds patience) {
  constexpr int kLook = 10;  // milliseconds
  UniqueFd locks[kAtOnce];
  for (int i = 0; i < kAtOnce; ++i) {
    std::string path = folder + "/crashprobe.turn.";
    AppendSigned(path, i);
    // The folder may belong to a user with fewer rights than ours: no link, no pipe.
    auto file = OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (!file) return CrashTurn(UniqueFd());
    locks[i] = std::move(*file);
  }
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    for (UniqueFd& lock : locks) {
      if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return CrashTurn(std::move(lock));
    }
    if (std::chrono::steady_clock::now() >= end) return std::nullopt;
    ::poll(nullptr, 0, kLook);
  }
}

}  // namespace telem
