#include "ctl/output.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "ctl/terminal_text.h"

namespace telem {
namespace {

constexpr size_t kBufferSize = 65'536;

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool IsInPath(std::string_view program) {
  std::string_view path = Environment("PATH");
  while (!path.empty()) {
    std::string file(TakeUntil(path, ':'));
    file += '/';
    file += program;
    if (::access(file.c_str(), X_OK) == 0) return true;
  }
  return false;
}

// What git does: $PAGER, where an empty one or `cat` means none, else less.
std::string ChoosePager() {
  if (std::getenv("PAGER") == nullptr) return IsInPath("less") ? "less" : "";
  const std::string_view pager = Environment("PAGER");
  return pager == "cat" ? "" : std::string(pager);
}

}  // namespace

Output::Output(Paging paging)
    : is_terminal_(::isatty(STDOUT_FILENO) == 1),
      has_colors_(is_terminal_ && Environment("NO_COLOR").empty() && Environment("TERM") != "dumb"),
      wants_pager_(is_terminal_ && paging == Paging::kOnTerminal) {
  // A reader that goes away is told by EPIPE.
  std::signal(SIGPIPE, SIG_IGN);
}

bool Output::Write(std::string_view text) {
  buffer_ += text;
  return buffer_.size() < kBufferSize ? !reader_is_gone_ && !failed_ : Flush();
}

bool Output::Flush() {
  if (buffer_.empty()) return !reader_is_gone_ && !failed_;
  if (wants_pager_) StartPager();
  if (!reader_is_gone_ && !failed_) {
    auto written = WriteAll(to_pager_.valid() ? to_pager_.get() : STDOUT_FILENO, buffer_);
    if (!written) {
      reader_is_gone_ = written.error().err == EPIPE;
      failed_ = !reader_is_gone_;
      failure_ = std::move(written.error());
    }
  }
  buffer_.clear();
  return !reader_is_gone_ && !failed_;
}

void Output::Complain(std::string_view message) {
  Flush();
  Log(LogLevel::kError, TerminalLine(message));
}

int Output::Finish() {
  Flush();
  if (own_stderr_.valid()) ::dup2(own_stderr_.get(), STDERR_FILENO);
  to_pager_.Reset();
  if (pager_ > 0) {
    int status = 0;
    while (::waitpid(pager_, &status, 0) < 0 && errno == EINTR) {
    }
    // What the shell answers when there is no such program.
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127)) {
      Log(LogLevel::kError,
          "cannot start the pager '" + TerminalLine(pager_command_) + "'; PAGER=cat does without");
      return 1;
    }
  }
  if (!failed_) return 0;
  Log(LogLevel::kError, "output: " + failure_.message);
  return 1;
}

void Output::StartPager() {
  wants_pager_ = false;
  pager_command_ = ChoosePager();
  if (pager_command_.empty()) return;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  // Quit when it fits on one screen, let colours through, leave the text on the screen.
  ::setenv("LESS", "FRX", 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, read_end.get(), STDIN_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::string shell = "sh";
  std::string option = "-c";
  char* arguments[] = {shell.data(), option.data(), pager_command_.data(), nullptr};
  const int error = ::posix_spawn(&pager_, "/bin/sh", &actions, &attributes, arguments, ::environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    pager_ = -1;
    return;
  }
  to_pager_ = std::move(write_end);
  // Ctrl-C is the pager's from here on: leaving it behind on the terminal would confuse both.
  std::signal(SIGINT, SIG_IGN);
  if (::isatty(STDERR_FILENO) == 1) {
    own_stderr_.Reset(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    if (own_stderr_.valid()) ::dup2(to_pager_.get(), STDERR_FILENO);
  }
}

}  // namespace telem
