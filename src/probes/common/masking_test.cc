#include "probes/common/masking.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "base/text.h"

namespace telem {
namespace {

constexpr char kHost[] = "zaphod.heartofgold.example";

// Lines of a file of tests/data/masking; those that start with `#` are comments.
std::vector<std::string> Lines(const std::string& name) {
  std::ifstream file(std::string(MASKING_DATA) + "/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && !line.starts_with('#')) lines.push_back(line);
  }
  return lines;
}

// A line with its secrets between {{ and }}, taken apart: what may stay, and what may not.
struct MarkedLine {
  explicit MarkedLine(std::string_view line) {
    for (;;) {
      const size_t begin = line.find("{{");
      const size_t end = line.find("}}", begin);
      if (begin == std::string_view::npos || end == std::string_view::npos) break;
      kept.emplace_back(line.substr(0, begin));
      secrets.emplace_back(line.substr(begin + 2, end - begin - 2));
      line.remove_prefix(end + 2);
    }
    kept.emplace_back(line);
  }

  std::string Text() const {
    std::string text = kept[0];
    for (size_t i = 0; i < secrets.size(); ++i) text += secrets[i] + kept[i + 1];
    return text;
  }

  // Whether `masked` is the line with a word in angle brackets in place of each secret.
  bool IsMaskedAs(std::string_view masked) const {
    for (size_t i = 0; i < kept.size(); ++i) {
      if (i > 0) {
        const size_t end = masked.find('>');
        if (!masked.starts_with('<') || end == std::string_view::npos) return false;
        masked.remove_prefix(end + 1);
      }
      if (!masked.starts_with(kept[i])) return false;
      masked.remove_prefix(kept[i].size());
    }
    return masked.empty();
  }

  std::vector<std::string> kept;
  std::vector<std::string> secrets;
};

TEST(MaskingTest, NoSecretOfTheCorpusComesThroughAndNothingElseGoes) {
  size_t lines = 0;
  for (const std::string& line : Lines("secrets.txt")) {
    const MarkedLine marked(line);
    if (marked.secrets.empty()) continue;
    ++lines;
    const std::string masked = MaskPersonalData(marked.Text(), kHost);
    EXPECT_TRUE(marked.IsMaskedAs(masked)) << line << "\n" << masked;
  }
  EXPECT_GE(lines, 150u);
}

TEST(MaskingTest, WhatSaysNothingOfAnybodyStays) {
  size_t lines = 0;
  for (const std::string& line : Lines("kept.txt")) {
    ++lines;
    EXPECT_EQ(MaskPersonalData(line, kHost), line);
  }
  EXPECT_GE(lines, 100u);
}

TEST(MaskingTest, WhatIsMaskedStaysAsItIs) {
  for (const std::string& line : Lines("secrets.txt")) {
    const std::string masked = MaskPersonalData(MarkedLine(line).Text(), kHost);
    EXPECT_EQ(MaskPersonalData(masked, kHost), masked) << line;
  }
}

TEST(MaskingTest, SecretsAreFoundInTheMiddleOfALongText) {
  std::string text;
  for (const std::string& line : Lines("secrets.txt")) text += MarkedLine(line).Text() + "\n";
  const std::string masked = MaskPersonalData(text, kHost);
  for (const std::string& line : Lines("secrets.txt")) {
    for (const std::string& secret : MarkedLine(line).secrets) {
      // Short ones are a part of other words.
      if (secret.size() < 8) continue;
      EXPECT_FALSE(masked.contains(secret)) << line;
    }
  }
}

TEST(MaskingTest, AHostNameThatManyMachinesHaveIsAWordLikeAnyOther) {
  for (const char* name :
       {"", "x", "localhost", "localhost.localdomain", "debian", "linux", "vm"}) {
    EXPECT_EQ(MaskPersonalData("linux on localhost, x debian", name),
              "linux on localhost, x debian")
        << name;
  }
}

TEST(MaskingTest, BytesThatAreNoTextBecomeQuestionMarks) {
  EXPECT_EQ(MaskPersonalData(std::string("a\0b\x1b[31m\xc3\xa4\x7f\tc\n", 14)), "a?b?[31m???\tc\n");
}

}  // namespace
}  // namespace telem
