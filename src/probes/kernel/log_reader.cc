#include "probes/kernel/log_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/text.h"

namespace telem {

std::vector<RawReport> FindReports(std::string_view log) {
  ReportFinder finder;
  while (!log.empty()) finder.Feed(TakeUntil(log, '\n'));
  finder.Finish();
  return finder.TakeFinished();
}

Status ReadReports(int fd, const std::function<Status(const RawReport&)>& use) {
  constexpr size_t kPiece = 256 * 1024;
  constexpr size_t kLongestLine = 16 * 1024;  // the kernel's are 1 KiB; a longer one is cut up
  std::string buffer;
  ReportFinder finder;
  const auto hand_over = [&]() -> Status {
    for (const RawReport& raw : finder.TakeFinished()) TELEM_CHECK(use(raw));
    return {};
  };
  size_t filled = 0;
  buffer.resize(kPiece + kLongestLine);
  while (true) {
    const ssize_t got = ::read(fd, buffer.data() + filled, kPiece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
    std::string_view rest(buffer.data(), filled);
    while (!rest.empty()) {
      const size_t newline = rest.find('\n');
      if (newline == std::string_view::npos && rest.size() < kLongestLine) break;
      const std::string_view line = rest.substr(0, std::min(newline, kLongestLine));
      rest.remove_prefix(line.size() + (line.size() == newline ? 1 : 0));
      finder.Feed(line);
    }
    filled = rest.size();
    std::memmove(buffer.data(), rest.data(), filled);
    TELEM_CHECK(hand_over());
  }
  if (filled > 0) finder.Feed(std::string_view(buffer.data(), filled));
  finder.Finish();
  return hand_over();
}

}  // namespace telem
