#include "base/command_line.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

enum : int { kJson = 256 };

constexpr OptionRow kOwn[] = {
    {"table", 't', "FILE", "the table\nthat is read"},
    {"json", kJson, nullptr, "as JSON"},
};
constexpr OptionRow kShared[] = {{"help", 'h', nullptr, "this text"}};

class OptionTableTest : public testing::Test {
 protected:
  // What Next() answers, and the value or what is wrong.
  std::string Parse(std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    optind = 0;
    optarg = nullptr;
    const int answer = table_.Next(static_cast<int>(words.size()), argv.data());
    if (answer == '?' || answer == ':') return table_.DescribeBad(answer, argv.data());
    return std::to_string(answer) + (optarg != nullptr ? std::string("=") + optarg : "");
  }

  const OptionTable table_{kOwn, kShared};
};

TEST_F(OptionTableTest, TakesEverySpellingOfEveryRow) {
  EXPECT_EQ(Parse({"-t", "x"}), "116=x");
  EXPECT_EQ(Parse({"--table=x"}), "116=x");
  EXPECT_EQ(Parse({"--json"}), "256");
  EXPECT_EQ(Parse({"-h"}), "104");
  EXPECT_EQ(Parse({"word"}), "-1");
}

TEST_F(OptionTableTest, SaysWhatIsWrong) {
  EXPECT_EQ(Parse({"-x"}), "unknown option '-x'");
  EXPECT_EQ(Parse({"--xyz"}), "unknown option '--xyz'");
  EXPECT_EQ(Parse({"-t"}), "option -t/--table needs a value");
  EXPECT_EQ(Parse({"--json=5"}), "option --json takes no value");
}

TEST_F(OptionTableTest, HelpHasEveryRowInOneColumn) {
  EXPECT_EQ(table_.Help(),
            "  -t, --table FILE  the table\n"
            "                    that is read\n"
            "      --json        as JSON\n"
            "  -h, --help        this text\n");
}

}  // namespace
}  // namespace telem
