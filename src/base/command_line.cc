#include "base/command_line.h"

#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace telem {
namespace {

int PrintLine(FILE* to, std::string line) {
  // Names of options and files are the caller's; they must not break the line.
  for (char& c : line) {
    if (IsControl(c)) c = '?';
  }
  line += '\n';
  return std::fputs(line.c_str(), to);
}

std::string NameOption(int letter, const option* options) {
  std::string name;
  // Options without a letter have a value beyond the letters.
  if (letter <= 0xff) name = {'-', static_cast<char>(letter)};
  for (const option* known = options; known->name != nullptr; ++known) {
    if (known->val == letter) name += std::string(name.empty() ? "--" : "/--") + known->name;
  }
  return name;
}

}  // namespace

int Failure(const char* program, std::string_view what, int exit_code) {
  PrintLine(stderr, std::string(program) + ": " + std::string(what));
  return exit_code;
}

int UsageMistake(const char* program, std::string_view what, int exit_code) {
  return Failure(program, std::string(what) + ". Try '" + program + " --help'.", exit_code);
}

int PrintHelp(const char* text) {
  return std::fputs(text, stdout) < 0 || std::fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int PrintVersion(const char* program) {
  return PrintHelp((std::string(program) + " " TELEM_VERSION "\n").c_str());
}

std::string DescribeBadOption(int answer, const option* options, char* const* argv) {
  // Long options that are unknown or ambiguous have no letter.
  if (optopt == 0) return "unknown option '" + std::string(argv[optind - 1]) + "'";
  const std::string name = NameOption(optopt, options);
  if (answer == ':') return "option " + name + " needs a value";
  const bool known = name.size() > 2;
  return known ? "option " + name + " takes no value" : "unknown option '" + name + "'";
}

std::string DescribeUnexpected(const char* argument) {
  return "unexpected argument '" + std::string(argument) + "'";
}

}  // namespace telem
