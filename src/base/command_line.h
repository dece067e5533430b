// What the mains of programs have in common: their way with mistakes on the command line, each one
// line on stderr. Option tables are those of getopt_long(3).
#pragma once

#include <getopt.h>

#include <string>
#include <string_view>

namespace telem {

// "PROGRAM: WHAT"; returns `exit_code`.
int Failure(const char* program, std::string_view what, int exit_code = 1);

// "PROGRAM: WHAT. Try 'PROGRAM --help'."; returns `exit_code`.
int UsageMistake(const char* program, std::string_view what, int exit_code);

// `text` on stdout; returns the exit code.
int PrintHelp(const char* text);

// "PROGRAM VERSION" on stdout; returns the exit code.
int PrintVersion(const char* program);

// What is wrong with the option that getopt_long() has just answered '?' or ':' for. It was called
// with opterr = 0 and a short option string that starts with ':'.
std::string DescribeBadOption(int answer, const option* options, char* const* argv);

// What is wrong with a word that is no option, where none is taken.
std::string DescribeUnexpected(const char* argument);

}  // namespace telem
