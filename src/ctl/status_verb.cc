#include "ctl/status_verb.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/flat_json.h"
#include "base/text.h"
#include "ctl/output.h"
#include "ctl/status_text.h"
#include "ctl/terminal_text.h"
#include "ipc/unix_socket.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience = std::chrono::seconds(5);
constexpr size_t kMaxAnswer = 65'536;

constexpr const char* kWhoMayAsk =
    "root, telemd's own user and members of the groups adm and telemetry may ask";

// One line from `fd`, its newline cut off; all of it must be there within kPatience from `start`,
// however slowly it trickles in.
Result<std::string> ReceiveLine(int fd, MonotonicTime start, const Clock& clock) {
  std::string answer;
  while (true) {
    const auto left =
        kPatience - std::chrono::duration_cast<milliseconds>(clock.Monotonic() - start);
    pollfd readable{fd, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return SystemError("poll", errno);
    if (ready == 0) return Fail(ErrorCode::kUnavailable, "no answer within 5 s");
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return SystemError("receive", errno);
    const std::string_view piece(buffer.data(), static_cast<size_t>(n));
    answer += piece.substr(0, piece.find('\n'));
    if (answer.size() > kMaxAnswer) {
      return Fail(ErrorCode::kTooLarge, "an answer of more than 64 KiB");
    }
    if (piece.contains('\n')) return answer;
    if (n == 0 && answer.empty()) {
      return Fail(ErrorCode::kUnavailable, "it closed the connection without an answer");
    }
    if (n == 0) return answer;
  }
}

Result<std::string> Ask(const std::string& path, std::string_view request) {
  const SystemClock clock;
  const MonotonicTime start = clock.Monotonic();
  TELEM_TRY(const UniqueFd socket, ConnectTo(path, kPatience));
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return SystemError("send", errno);
  }
  return ReceiveLine(socket.get(), start, clock);
}

// The answer as one line of JSON, whatever blanks telemd put between its parts.
std::string OneLine(std::string json) {
  std::replace_if(json.begin(), json.end(), [](char c) { return c == '\t' || c == '\r'; }, ' ');
  return TerminalJson(json) + "\n";
}

void ComplainOfSilence(const Error& error, const std::string& path, Output& output) {
  const std::string why = error.err == 0 ? error.message : std::strerror(error.err);
  const std::string message = "telemd does not answer at " + path + ": " + why;
  if (error.code == ErrorCode::kDenied) {
    output.Complain(message + " (" + kWhoMayAsk + ")");
    return;
  }
  output.Complain(message);
  if (error.err == ENOENT || error.err == ECONNREFUSED) {
    output.Complain("start it with 'telemd', as root or with a configuration of your own");
  }
}

}  // namespace

int RunStatus(const StatusOptions& options, const Settings& settings) {
  const std::string& path = settings.control_path;
  Output output(Output::Paging::kNever);
  const auto answer = Ask(path, "{\"command\": \"status\"}\n");
  if (!answer) {
    ComplainOfSilence(answer.error(), path, output);
    return 1;
  }
  const auto status = ParseFlatJson(*answer);
  if (!status || !IsUtf8(*answer)) {
    output.Complain("telemd's answer at " + path +
                    " is not understood: " + (status ? "not UTF-8" : status.error().message));
    return 1;
  }
  if (const auto error = status->find("error"); error != status->end()) {
    output.Complain("telemd at " + path + ": " + error->second);
    return 1;
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(SystemClock().Now());
  output.Write(options.json
                   ? OneLine(*answer)
                   : StatusText(*status, static_cast<uint64_t>(now.time_since_epoch().count())));
  return output.Finish();
}

}  // namespace telem
