#include "probes/crash/crash_arguments.h"

#include <gtest/gtest.h>

#include <vector>

namespace telem {
namespace {

Result<CrashArguments> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "crashprobe");
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return ParseCrashArguments(static_cast<int>(words.size()), argv.data());
}

TEST(CrashArgumentsTest, TakesTheFormOf1x) {
  const auto arguments = Parse({"-p", "example", "-E", "!usr!bin!example", "-s", "11"});
  ASSERT_TRUE(arguments.has_value());
  EXPECT_TRUE(arguments->from_kernel);
  EXPECT_EQ(arguments->name, "example");
  EXPECT_EQ(arguments->exe, "/usr/bin/example");
  EXPECT_EQ(arguments->signal, 11);
  EXPECT_EQ(arguments->pid, 0);
}

TEST(CrashArgumentsTest, TakesTheFullForm) {
  std::vector<std::string> words = {"-p",
                                    "x",
                                    "-E",
                                    "!x",
                                    "-s",
                                    "6",
                                    "4242",
                                    "7",
                                    "4243",
                                    "1795445503",
                                    "0",
                                    "0",
                                    "18446744073709551615",
                                    "1",
                                    "3"};
  const auto arguments = Parse(words);
  ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
  EXPECT_EQ(arguments->pid, 4242);
  EXPECT_EQ(arguments->pidfd, 3);
  words.back() = "";  // a kernel without %F
  EXPECT_EQ(Parse(words)->pidfd, -1);
  words.pop_back();
  EXPECT_EQ(Parse(words)->pidfd, -1);
}

TEST(CrashArgumentsTest, LetsAProgramChooseItsNameAndNothingElse) {
  for (const char* name : {"-h", "--help", "", "-c", "a b", "\n", "--", "-"}) {
    const auto arguments = Parse({"-p", name, "-E", name, "-s", "11"});
    ASSERT_TRUE(arguments.has_value()) << name;
    EXPECT_EQ(arguments->name, name);
    EXPECT_EQ(arguments->action, CrashArguments::Action::kReport);
    EXPECT_TRUE(arguments->core_file.empty());
  }
}

TEST(CrashArgumentsTest, RefusesWhatTheKernelNeverSays) {
  EXPECT_FALSE(Parse({"-p", "x", "-s", "0"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "-s", "65"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "-s", "11x"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "4242"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "0", "1", "1", "1", "1", "1", "1", "1"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "1", "1", "1", "1", "1", "1", "1", "1", "-3"}).has_value());
  EXPECT_FALSE(Parse({"-p", "x", "99999999999", "1", "1", "1", "1", "1", "1", "1"}).has_value());
  EXPECT_FALSE(Parse({"-E", "!x"}).has_value());
  EXPECT_FALSE(Parse({"word"}).has_value());
  EXPECT_FALSE(Parse({"--json"}).has_value());
}

}  // namespace
}  // namespace telem
