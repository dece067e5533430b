// Output: stdout as a reading verb needs it. On a terminal it may be coloured and goes through the
// user's pager; in a pipe or file it is the bare text. A reader who has seen enough (`| head`, or
// quitting the pager) is no error.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

class Output {
 public:
  enum class Paging { kNever, kOnTerminal };

  explicit Output(Paging paging);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  bool is_terminal() const { return is_terminal_; }
  bool has_colors() const { return has_colors_; }

  // Buffered. False as soon as nobody reads any more: the caller may stop.
  bool Write(std::string_view text);
  bool Flush();

  // Says what went wrong, in the order in which the reader meets the text around it.
  void Complain(std::string_view message);

  // The last call: writes what is left, waits for the pager, and says whether all was well. Returns
  // the exit code of a program that has nothing else to report.
  int Finish();

 private:
  void StartPager();

  bool is_terminal_;
  bool has_colors_;
  bool wants_pager_;
  std::string pager_command_;
  pid_t pager_ = -1;
  UniqueFd to_pager_;
  UniqueFd own_stderr_;  // while the pager shows our messages too
  std::string buffer_;
  bool reader_is_gone_ = false;
  Error failure_;
  bool failed_ = false;
};

}  // namespace telem
