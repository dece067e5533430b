// measured FILE COMMAND...: runs COMMAND and appends one line of JSON to FILE: when it began and
// ended (CLOCK_MONOTONIC in ns), processor time, and the most memory that it or one of its children
// had at once (RSS in KiB). For handlers that the kernel starts, which nobody else can wait for.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>

namespace {

long long Now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::nanoseconds(now).count();
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const long long begin = Now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp(argv[2], argv + 2);
    ::_exit(127);
  }
  // The handler's alone: the process that crashed is held as long as somebody has it open.
  ::close(STDIN_FILENO);
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return 1;
  const long long end = Now();
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  std::array<char, 256> line{};
  const int size = std::snprintf(
      line.data(), line.size(),
      "{\"begin\": %lld, \"end\": %lld, \"cpu\": %.6f, \"rss_kib\": %ld, \"code\": %d}\n", begin,
      end, Seconds(used.ru_utime) + Seconds(used.ru_stime), used.ru_maxrss,
      WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  const int file = ::open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  return file >= 0 && ::write(file, line.data(), static_cast<size_t>(size)) == size ? 0 : 1;
}
