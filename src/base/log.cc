#include "base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/text.h"

namespace telem {
namespace {

const char* log_name = "telemetrics";

// systemd tells by JOURNAL_STREAM=DEVICE:INODE that stderr goes to its journal (systemd.exec(5)).
bool StderrIsSystemJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st;
  if (stream == nullptr || ::fstat(STDERR_FILENO, &st) != 0) return false;
  std::string expected;
  AppendUnsigned(expected, st.st_dev);
  expected += ':';
  AppendUnsigned(expected, st.st_ino);
  return expected == stream;
}

}  // namespace

void SetLogName(const char* name) { log_name = name; }

void Log(LogLevel level, std::string_view message) {
  static const bool to_system_journal = StderrIsSystemJournal();
  std::string line;
  if (to_system_journal) {
    line += '<';
    AppendUnsigned(line, static_cast<unsigned>(level));
    line += '>';
  } else {
    line += log_name;
    line += ": ";
  }
  AppendMasked(line, message);
  line += '\n';
  // A log that cannot be written has nobody left to be told.
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

void LogLines(LogLevel level, std::string_view text) {
  while (!text.empty()) Log(level, TakeUntil(text, '\n'));
}

}  // namespace telem
