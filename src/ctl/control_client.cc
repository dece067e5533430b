#include "ctl/control_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/clock.h"
#include "base/text.h"
#include "ctl/output.h"
#include "ctl/terminal_text.h"
#include "ipc/unix_socket.h"

namespace telem {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience = std::chrono::seconds(5);
constexpr size_t kMaxLine = 65'536;

constexpr const char* kWhoMayAsk =
    "root, telemd's own user and members of the groups adm and telemetry may ask";

}  // namespace

Result<ControlClient> ControlClient::Connect(const std::string& path) {
  auto socket = ConnectTo(path, kPatience);
  if (socket) return ControlClient(path, std::move(*socket));
  return ControlClient(path, UniqueFd()).Silence(socket.error());
}

std::unexpected<Error> ControlClient::Silence(const Error& error) const {
  const std::string why = error.err == 0 ? error.message : std::strerror(error.err);
  std::string message = "telemd does not answer at " + path_ + ": " + why;
  if (error.code == ErrorCode::kDenied) message += " (" + std::string(kWhoMayAsk) + ")";
  return std::unexpected(Error{ErrorCode::kUnavailable, error.err, std::move(message)});
}

Status ControlClient::Ask(FlatJsonWriter request, Last last) {
  if (last == Last::kNo) request.Add("keep_open", true);
  const std::string line = request.Finish() + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    // Who closed the connection may have said why.
    if (n < 0 && errno == EPIPE) return {};
    if (n < 0) return Silence(SystemError("send", errno).error());
    rest.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

// One line, its newline cut off; all of it must be there within kPatience, however slowly it
// trickles in.
Result<std::string> ControlClient::ReceiveLine() {
  const SystemClock clock;
  const MonotonicTime start = clock.Monotonic();
  while (true) {
    if (const size_t size = received_.find('\n'); size != std::string::npos) {
      std::string line = received_.substr(0, size);
      received_.erase(0, size + 1);
      return line;
    }
    if (received_.size() > kMaxLine) {
      return Fail(ErrorCode::kTooLarge, "an answer of more than 64 KiB");
    }
    const auto left =
        kPatience - std::chrono::duration_cast<milliseconds>(clock.Monotonic() - start);
    pollfd readable{socket_.get(), POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return SystemError("poll", errno);
    if (ready == 0) return Fail(ErrorCode::kUnavailable, "no answer within 5 s");
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return SystemError("receive", errno);
    if (n == 0 && received_.empty()) {
      return Fail(ErrorCode::kUnavailable, "it closed the connection without an answer");
    }
    if (n == 0) return std::exchange(received_, {});
    received_.append(buffer.data(), static_cast<size_t>(n));
  }
}

Result<ControlClient::Line> ControlClient::NextLine() {
  auto text = ReceiveLine();
  if (!text) return Silence(text.error());
  auto fields = ParseFlatJson(*text);
  if (!fields || !IsUtf8(*text)) {
    return Fail(ErrorCode::kInvalid, "telemd's answer at " + path_ + " is not understood: " +
                                         (fields ? "not UTF-8" : fields.error().message));
  }
  if (const auto error = fields->find("error"); error != fields->end()) {
    ErrorCode code = ErrorCode::kInvalid;
    if (fields->contains("denied")) code = ErrorCode::kDenied;
    if (fields->contains("not_found")) code = ErrorCode::kNotFound;
    if (fields->contains("no_space")) code = ErrorCode::kNoSpace;
    return Fail(code, "telemd at " + path_ + ": " + error->second);
  }
  return Line{std::move(*text), std::move(*fields)};
}

Result<std::optional<ControlClient::Line>> ControlClient::NextOfMany() {
  TELEM_TRY(Line line, NextLine());
  if (line.fields.contains("end")) return std::nullopt;
  return line;
}

Result<ControlClient::Line> AskOnce(const std::string& path, FlatJsonWriter request) {
  TELEM_TRY(ControlClient client, ControlClient::Connect(path));
  TELEM_CHECK(client.Ask(std::move(request), ControlClient::Last::kYes));
  return client.NextLine();
}

std::string JsonLine(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\t' || c == '\r'; }, ' ');
  return TerminalJson(text) + "\n";
}

bool IsNotRunning(const Error& error) {
  return error.code == ErrorCode::kUnavailable &&
         (error.err == ENOENT || error.err == ECONNREFUSED);
}

int ComplainOfTelemd(const Error& error, Output& output) {
  output.Complain(error.message);
  if (IsNotRunning(error)) {
    output.Complain("start it with 'telemd', as root or with a configuration of your own");
  }
  return 1;
}

}  // namespace telem
