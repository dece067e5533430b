#include "ctl/child_output.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"

namespace telem {

Result<std::string> OutputOf(const std::vector<std::string>& command, size_t limit) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return SystemError("pipe", errno);
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, to.get(), STDOUT_FILENO);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return SystemError("start '" + command[0] + "'", error);
  to.Reset();
  auto printed = ReadAll(from.get(), limit);
  from.Reset();
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!printed) return printed;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return printed;
  return Fail(ErrorCode::kUnavailable,
              "'" + command[0] + "' failed" +
                  (WIFEXITED(status) ? " with exit code " + std::to_string(WEXITSTATUS(status))
                                     : std::string()));
}

}  // namespace telem
