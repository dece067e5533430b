// What the mains of programs have in common: their options, and their way with mistakes on the
// command line, each one line on stderr.
#pragma once

#include <getopt.h>

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace telem {

// One option, as the parser and as the help text have it.
struct OptionRow {
  const char* name;   // without its dashes
  int letter;         // 256 and more: it has none
  const char* value;  // what stands behind it, in one word; null: nothing
  const char* help;   // line breaks go on in the same column
};

// The options of a program, parsed with getopt_long(3). The help text is made of the same rows, so
// that neither knows an option that the other does not.
class OptionTable {
 public:
  // The rows of all `parts`, in that order.
  OptionTable(std::initializer_list<std::span<const OptionRow>> parts);

  // The letter of the next option, with its value in `optarg`; '?' or ':' for one that is wrong; -1
  // behind the last, where `optind` says what comes next.
  int Next(int argc, char** argv) const;

  // What is wrong with the option that Next() has just answered '?' or ':' for.
  std::string DescribeBad(int answer, char* const* argv) const;

  // Lines for a help text.
  std::string Help() const;

 private:
  std::string NameOf(int letter) const;

  std::vector<OptionRow> rows_;
  std::string letters_;
  std::vector<option> options_;
};

// "PROGRAM: WHAT"; returns `exit_code`.
int Failure(const char* program, std::string_view what, int exit_code = 1);

// "PROGRAM: WHAT. Try 'PROGRAM --help'."; returns `exit_code`.
int UsageMistake(const char* program, std::string_view what, int exit_code);

// `text` on stdout; returns the exit code.
int PrintHelp(const std::string& text);

// "PROGRAM VERSION" on stdout; returns the exit code.
int PrintVersion(const char* program);

// What is wrong with a word that is no option, where none is taken.
std::string DescribeUnexpected(const char* argument);

}  // namespace telem
