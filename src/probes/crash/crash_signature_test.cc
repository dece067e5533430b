#include "probes/crash/crash_signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace telem {
namespace {

using ::testing::ElementsAre;

SignatureFrame Frame(std::string function, std::string module = "/usr/bin/example") {
  SignatureFrame frame;
  frame.function = std::move(function);
  frame.module = std::move(module);
  frame.build_id = "abcd";
  frame.offset = 0x10;
  return frame;
}

TEST(PlainFunctionTest, LeavesOutWhatDiffersFromBuildToBuild) {
  EXPECT_EQ(PlainFunction("parse_header"), "parse_header");
  EXPECT_EQ(PlainFunction("parse_header.part.0"), "parse_header");
  EXPECT_EQ(PlainFunction("parse_header.constprop.0.isra.3"), "parse_header");
  EXPECT_EQ(PlainFunction("ns::Foo<int, std::vector<char> >::bar(char const*) const"),
            "ns::Foo::bar");
  EXPECT_EQ(PlainFunction("void ns::run<int>(int) [clone .cold]"), "ns::run");
  EXPECT_EQ(PlainFunction("std::pair<int, long> make<int>(int)"), "make");
  EXPECT_EQ(PlainFunction("(anonymous namespace)::helper(int)"), "helper");
  EXPECT_EQ(PlainFunction("a::(anonymous namespace)::helper()"), "a::helper");
}

TEST(PlainFunctionTest, KeepsOperators) {
  EXPECT_EQ(PlainFunction("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(PlainFunction("A::operator<(A const&) const"), "A::operator<");
  EXPECT_EQ(PlainFunction("A::operator<<(int)"), "A::operator<<");
  EXPECT_EQ(PlainFunction("A::operator()(int) const"), "A::operator()");
  EXPECT_EQ(PlainFunction("A<int>::operator->() const"), "A::operator->");
}

TEST(PlainFunctionTest, NamesClosuresOfAllCompilersAlike) {
  EXPECT_EQ(PlainFunction("main::{lambda(int)#1}::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("main::$_0::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("main::'lambda'(int)::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("a::main::{{closure}}"), "a::main::{closure}");
  EXPECT_EQ(PlainFunction("a::main::{closure#0}"), "a::main::{closure}");
}

TEST(PlainFunctionTest, ReadsRustAndGo) {
  EXPECT_EQ(PlainFunction("<r::Foo<u32> as r::Bar>::run"), "<r::Foo as r::Bar>::run");
  EXPECT_EQ(PlainFunction("r::deep::er::f::<7>"), "r::deep::er::f");
  EXPECT_EQ(PlainFunction("main.(*Server).Serve"), "main.(*Server).Serve");
  EXPECT_EQ(PlainFunction("main.Map[...]"), "main.Map");
  EXPECT_EQ(PlainFunction("main.main.func2.1"), "main.main.func");
}

TEST(PlainModuleTest, LeavesOutVersions) {
  EXPECT_EQ(PlainModule("/usr/lib/libssl.so.3"), "libssl.so");
  EXPECT_EQ(PlainModule("/usr/lib/libglib-2.0.so.0.7400.6"), "libglib.so");
  EXPECT_EQ(PlainModule("/usr/bin/python3.11"), "python");
  EXPECT_EQ(PlainModule("/usr/lib/ld-linux-x86-64.so.2"), "ld-linux-x86-64.so");
  EXPECT_EQ(PlainModule("example"), "example");
  EXPECT_EQ(PlainModule("/usr/bin/7z"), "7z");
}

TEST(StableSignatureTest, BeginsBehindWhatOnlyTellsOfTheEnd) {
  const std::string libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
  EXPECT_THAT(StableParts({Frame("__pthread_kill_implementation", libc), Frame("raise", libc),
                           Frame("abort", libc), Frame("__assert_fail", libc), Frame("check"),
                           Frame("load"), Frame("run"), Frame("main"),
                           Frame("__libc_start_call_main", libc)}),
              ElementsAre("example!check", "example!load", "example!run"));
  EXPECT_THAT(
      StableParts({Frame("core::panicking::panic_fmt"), Frame("core::option::unwrap_failed"),
                   Frame("app::load"), Frame("app::main")}),
      ElementsAre("example!app::load", "example!app::main"));
  EXPECT_THAT(StableParts({Frame("runtime.raise"), Frame("runtime.sigpanic"), Frame("main.load"),
                           Frame("main.main"), Frame("runtime.main"), Frame("runtime.goexit")}),
              ElementsAre("example!main.load", "example!main.main"));
}

TEST(StableSignatureTest, IsTheSameWhereverARecursionOverflows) {
  std::vector<SignatureFrame> stack;
  for (int i = 0; i < 100; ++i) {
    stack.push_back(Frame("walk_left"));
    stack.push_back(Frame("walk_right"));
  }
  std::vector<SignatureFrame> other = stack;
  other.insert(other.begin(), Frame("walk_right"));
  other.insert(other.begin(), Frame("measure"));
  EXPECT_EQ(StableSignature(stack), StableSignature(other));
  EXPECT_THAT(StableParts(stack),
              ElementsAre("recursion", "example!walk_left", "example!walk_right"));
}

TEST(StableSignatureTest, TellsFunctionsOfOneNameInTwoProgramsApart) {
  EXPECT_NE(StableSignature({Frame("main", "/usr/bin/a")}),
            StableSignature({Frame("main", "/usr/bin/b")}));
}

TEST(StableSignatureTest, UsesBuildAndOffsetWhereThereIsNoName) {
  EXPECT_THAT(StableParts({Frame("")}), ElementsAre("abcd+0x10"));
}

TEST(StableSignatureTest, OfNothingButTheLibraryIsOfTheLibrary) {
  EXPECT_THAT(StableParts({Frame("strlen", "/usr/lib/libc.so.6")}), ElementsAre("libc.so!strlen"));
  EXPECT_TRUE(StableParts({}).empty());
}

TEST(ExactSignatureTest, KnowsNothingOfNamesAndInlining) {
  SignatureFrame inlined = Frame("inlined");
  inlined.inlined = true;
  EXPECT_EQ(ExactSignature({Frame("a"), Frame("b")}),
            ExactSignature({inlined, Frame(""), Frame("c")}));
  SignatureFrame moved = Frame("a");
  moved.offset = 0x11;
  EXPECT_NE(ExactSignature({Frame("a")}), ExactSignature({moved}));
}

}  // namespace
}  // namespace telem
