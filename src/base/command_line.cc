#include "base/command_line.h"

#include <algorithm>
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

bool HasLetter(int letter) { return letter <= 0xff; }

// "  -f, --config-file FILE"
std::string Spell(const OptionRow& row) {
  std::string spelled = HasLetter(row.letter) ? "  -x, --" : "      --";
  if (HasLetter(row.letter)) spelled[3] = static_cast<char>(row.letter);
  spelled += row.name;
  if (row.value != nullptr) (spelled += ' ') += row.value;
  return spelled;
}

}  // namespace

OptionTable::OptionTable(std::initializer_list<std::span<const OptionRow>> parts) : letters_(":") {
  for (const std::span<const OptionRow> part : parts) {
    rows_.insert(rows_.end(), part.begin(), part.end());
  }
  for (const OptionRow& row : rows_) {
    const bool has_value = row.value != nullptr;
    options_.push_back(
        {row.name, has_value ? required_argument : no_argument, nullptr, row.letter});
    if (!HasLetter(row.letter)) continue;
    letters_ += static_cast<char>(row.letter);
    if (has_value) letters_ += ':';
  }
  options_.push_back({});
}

int OptionTable::Next(int argc, char** argv) const {
  opterr = 0;
  return ::getopt_long(argc, argv, letters_.c_str(), options_.data(), nullptr);
}

std::string OptionTable::NameOf(int letter) const {
  std::string name;
  if (HasLetter(letter)) name = {'-', static_cast<char>(letter)};
  for (const OptionRow& row : rows_) {
    if (row.letter == letter) name += std::string(name.empty() ? "--" : "/--") + row.name;
  }
  return name;
}

std::string OptionTable::DescribeBad(int answer, char* const* argv) const {
  // Long options that are unknown or ambiguous have no letter.
  if (optopt == 0) return "unknown option '" + std::string(argv[optind - 1]) + "'";
  const std::string name = NameOf(optopt);
  if (answer == ':') return "option " + name + " needs a value";
  const bool known = name.size() > 2;
  return known ? "option " + name + " takes no value" : "unknown option '" + name + "'";
}

std::string OptionTable::Help() const {
  size_t column = 0;
  for (const OptionRow& row : rows_) column = std::max(column, Spell(row).size() + 2);
  std::string text;
  for (const OptionRow& row : rows_) {
    std::string line = Spell(row);
    std::string_view help = row.help;
    while (true) {
      line.resize(column, ' ');
      text += line;
      line.clear();
      const size_t end = help.find('\n');
      (text += help.substr(0, end)) += '\n';
      if (end == std::string_view::npos) break;
      help.remove_prefix(end + 1);
    }
  }
  return text;
}

int Failure(const char* program, std::string_view what, int exit_code) {
  PrintLine(stderr, std::string(program) + ": " + std::string(what));
  return exit_code;
}

int UsageMistake(const char* program, std::string_view what, int exit_code) {
  return Failure(program, std::string(what) + ". Try '" + program + " --help'.", exit_code);
}

int PrintHelp(const std::string& text) {
  return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? EXIT_FAILURE
                                                                          : EXIT_SUCCESS;
}

int PrintVersion(const char* program) {
  return PrintHelp(std::string(program) + " " TELEM_VERSION "\n");
}

std::string DescribeUnexpected(const char* argument) {
  return "unexpected argument '" + std::string(argument) + "'";
}

}  // namespace telem
