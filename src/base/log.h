// The log of a program: one line per event worth an operator's time, to stderr. Only mains and what
// they own log; everything below returns its errors.
#pragma once

#include <string_view>

namespace telem {

// Numbers are those of syslog(3) and sd-daemon(3).
enum class LogLevel { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// "NAME: MESSAGE" on a terminal or a file, "<N>MESSAGE" where stderr is the system journal. Control
// characters in `message` become `?`, so foreign text cannot forge a line.
void Log(LogLevel level, std::string_view message);

// The same for each line of `text`.
void LogLines(LogLevel level, std::string_view text);

// The name in front of each line; kept, not copied.
void SetLogName(const char* name);

}  // namespace telem
