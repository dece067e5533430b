// The stable signature over real stacks of known bugs: tests/data/crash-stacks.txt, which
// scripts/crash_stacks.py makes by building small programs in many ways and letting them crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "probes/crash/crash_signature.h"

namespace telem {
namespace {

struct LabelledStack {
  std::string cause;
  std::string build;
  CrashingStack stack;
};

// Frames that scripts/crash_stacks.py writes down: those of 256 and more are cut there.
constexpr size_t kWrittenFrames = 48;

// "#0 function(int) - [module] - file:12 +0x1f3 (inlined)" as records have it.
SignatureFrame ParseFrame(std::string_view line) {
  SignatureFrame frame;
  TakeUntil(line, ' ');
  const size_t module = line.rfind(" - [");
  const size_t end = line.find("] ", module);
  const std::string_view function = line.substr(0, module);
  if (function != "???") frame.function = function;
  frame.module = line.substr(module + 4, std::min(end, line.size() - 1) - module - 4);
  if (frame.module == "unmapped" || frame.module == "generated code") frame.module.clear();
  frame.inlined = line.ends_with(" (inlined)");
  return frame;
}

std::vector<LabelledStack> ReadTable() {
  std::vector<LabelledStack> table;
  const auto text = ReadFile(TELEM_CRASH_STACKS, size_t{16} * 1024 * 1024);
  EXPECT_TRUE(text.has_value());
  std::string_view rest = text ? std::string_view(*text) : "";
  while (!rest.empty()) {
    const std::string_view line = TakeUntil(rest, '\n');
    if (line.starts_with("Cause: ")) {
      table.emplace_back();
      table.back().cause = line.substr(7);
    } else if (line.starts_with("Build: ")) {
      table.back().build = line.substr(7);
    } else if (line.starts_with('#') && !table.empty()) {
      CrashingStack& stack = table.back().stack;
      stack.frames.push_back(ParseFrame(line));
      // Records show every function with brackets; names of Rust have none.
      std::string& function = stack.frames.back().function;
      if (table.back().build.contains("rustc") && function.ends_with("()")) {
        function.resize(function.size() - 2);
      }
      stack.overflowed = stack.frames.size() >= kWrittenFrames;
    }
  }
  return table;
}

const std::vector<LabelledStack>& Table() {
  static const std::vector<LabelledStack> table = ReadTable();
  return table;
}

TEST(CrashStacksTest, AreManyOfManyCauses) {
  std::set<std::string> causes;
  std::set<std::string> builds;
  for (const LabelledStack& stack : Table()) {
    causes.insert(stack.cause);
    builds.insert(stack.build);
  }
  EXPECT_GE(Table().size(), 500u);
  EXPECT_GE(causes.size(), 40u);
  EXPECT_GE(builds.size(), 40u);
}

TEST(CrashStacksTest, NeverShareASignatureBetweenTwoCauses) {
  std::map<std::string, const LabelledStack*> causes;
  for (const LabelledStack& stack : Table()) {
    const auto [found, is_new] = causes.emplace(StableSignature(stack.stack), &stack);
    EXPECT_EQ(found->second->cause, stack.cause)
        << found->second->build << " and " << stack.build << ": "
        << ::testing::PrintToString(StableParts(stack.stack));
  }
}

TEST(CrashStacksTest, HaveOneSignatureForOneCause) {
  std::map<std::string, std::vector<const LabelledStack*>> causes;
  for (const LabelledStack& stack : Table()) causes[stack.cause].push_back(&stack);
  size_t all_same = 0;
  for (const auto& [cause, stacks] : causes) {
    std::map<std::string, size_t> counts;
    for (const LabelledStack* stack : stacks) ++counts[StableSignature(stack->stack)];
    std::string common;
    for (const auto& [signature, count] : counts) {
      if (common.empty() || count > counts[common]) common = signature;
    }
    all_same += counts[common];
    std::string others;
    for (const LabelledStack* stack : stacks) {
      if (StableSignature(stack->stack) == common) continue;
      others += "\n  " + stack->build + ": " + ::testing::PrintToString(StableParts(stack->stack));
    }
    EXPECT_GE(counts[common] * 100, stacks.size() * 95) << cause << others;
  }
  EXPECT_GE(all_same * 100, Table().size() * 98);
  std::printf("%zu stacks of %zu causes, %zu with the signature of their cause\n", Table().size(),
              causes.size(), all_same);
}

}  // namespace
}  // namespace telem
