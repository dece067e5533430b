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
  EXPECT_EQ(PlainFunction("A<int>::operator[](int) const"), "A::operator[]");
  EXPECT_EQ(PlainFunction("A<int>::operator[]<long>(long)"), "A::operator[]");
}

TEST(PlainFunctionTest, NamesClosuresOfAllCompilersAlike) {
  EXPECT_EQ(PlainFunction("main::{lambda(int)#1}::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("main::$_0::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("main::'lambda'(int)::operator()(int) const"), "main::{lambda}");
  EXPECT_EQ(PlainFunction("a::main::{{closure}}"), "a::main::{closure}");
  EXPECT_EQ(PlainFunction("a::main::{closure#0}"), "a::main::{closure}");
}

TEST(PlainFunctionTest, LeavesOutArgumentsInTheMiddle) {
  EXPECT_EQ(
      PlainFunction("a::Sum(std::vector<int> const&)::{lambda(int)#1}::operator()(int) const"),
      "a::Sum::{lambda}");
  EXPECT_EQ(PlainFunction("a::Sum(int) const::$_0::operator()(int) const"), "a::Sum::{lambda}");
  EXPECT_EQ(PlainFunction("a::Sum(int)::{lambda(int)}::operator()"), "a::Sum::{lambda}");
  EXPECT_EQ(PlainFunction("void run<int>(int)::Local::go()"), "run::Local::go");
  EXPECT_EQ(PlainFunction("A::operator unsigned int() const"), "A::operator unsigned int");
}

TEST(PlainFunctionTest, NamesRustOfOldAndNewCompilersAlike) {
  EXPECT_EQ(PlainFunction("<r::Table<u16>>::load"), PlainFunction("r::Table<T>::load"));
  EXPECT_EQ(PlainFunction("<r::Table<u16> as r::Load>::load"),
            PlainFunction("<r::Table<T> as r::Load>::load"));
}

TEST(PlainFunctionTest, ReadsRustAndGo) {
  EXPECT_EQ(PlainFunction("main.apply[go.shape.string_0]"), "main.apply");
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
  EXPECT_THAT(StableParts({{Frame("__pthread_kill_implementation", libc), Frame("raise", libc),
                            Frame("abort", libc), Frame("__assert_fail", libc), Frame("check"),
                            Frame("load"), Frame("run"), Frame("main"),
                            Frame("__libc_start_call_main", libc)}}),
              ElementsAre("example!check", "example!load", "example!run"));
  EXPECT_THAT(
      StableParts({{Frame("core::panicking::panic_fmt"), Frame("core::option::unwrap_failed"),
                    Frame("app::load"), Frame("app::main")}}),
      ElementsAre("example!app::load", "example!app::main"));
  EXPECT_THAT(StableParts({{Frame("runtime.raise"), Frame("runtime.sigpanic"), Frame("main.load"),
                            Frame("main.main"), Frame("runtime.main"), Frame("runtime.goexit")}}),
              ElementsAre("example!main.load", "example!main.main"));
}

TEST(StableSignatureTest, IsTheSameWhereverARecursionOverflows) {
  CrashingStack stack{.frames = {}, .overflowed = true};
  for (int i = 0; i < 100; ++i) {
    stack.frames.push_back(Frame("walk_left"));
    stack.frames.push_back(Frame("walk_right"));
  }
  CrashingStack other = stack;
  other.frames.insert(other.frames.begin(), Frame("walk_right"));
  other.frames.insert(other.frames.begin(), Frame("measure"));
  EXPECT_EQ(StableSignature(stack), StableSignature(other));
  EXPECT_THAT(StableParts(stack),
              ElementsAre("recursion", "example!walk_left", "example!walk_right"));
}

// An interpreter and whatever visits a deep tree go round too; the bug is what they called.
TEST(StableSignatureTest, TellsBugsBelowADeepRecursionApart) {
  CrashingStack stack;
  stack.frames.push_back(Frame("divide"));
  for (int i = 0; i < 100; ++i) stack.frames.push_back(Frame("evaluate"));
  CrashingStack other = stack;
  other.frames.front() = Frame("concatenate");
  other.frames.front().offset = 0x20;
  EXPECT_THAT(StableParts(stack), ElementsAre("example!divide", "example!evaluate"));
  EXPECT_NE(StableSignature(stack), StableSignature(other));
  EXPECT_NE(ExactSignature(stack, "p"), ExactSignature(other, "p"));
}

TEST(StableSignatureTest, KnowsRustsLibrariesFromNamespacesOfOthers) {
  EXPECT_THAT(StableParts({{Frame("core::Load(int)"), Frame("alloc::Pool::Get() const"),
                            Frame("core::Save() [clone .cold]"), Frame("main")}}),
              ElementsAre("example!core::Load", "example!alloc::Pool::Get", "example!core::Save"));
}

// clang gives a load that it folds into an addition the place of the addition: in an optimised
// build an operator is not on the stack where it is in one that is not.
TEST(StableSignatureTest, CountsACrashInAnOperatorOfAccessAtItsCaller) {
  for (const char* access : {"Matrix::operator()(int, int) const", "Ring<long>::operator[](int)",
                             "Handle::operator->() const", "Handle::operator*() const"}) {
    EXPECT_THAT(StableParts({{Frame(access), Frame("Trace(Matrix const&)"), Frame("main")}}),
                ElementsAre("example!Trace", "example!main"))
        << access;
  }
}

TEST(StableSignatureTest, CountsAnOperatorThatIsMoreThanAccess) {
  // A task that a library calls: nothing else on the stack tells one task from another.
  EXPECT_THAT(StableParts({{Frame("ByPrice::operator()(int, int)"),
                            Frame("int std::__invoke_impl<int>(int)"), Frame("Sort(int)")}}),
              ElementsAre("example!ByPrice::operator()", "example!Sort"));
  // What it calls crashed, and no instruction of its own.
  EXPECT_THAT(
      StableParts({{Frame("Check(int)"), Frame("Matrix::operator()(int)"), Frame("Trace()")}}),
      ElementsAre("example!Check", "example!Matrix::operator()", "example!Trace"));
  EXPECT_THAT(StableParts({{Frame("Sum(int)::{lambda(int)#1}::operator()(int) const"),
                            Frame("Sum(int)"), Frame("main")}}),
              ElementsAre("example!Sum::{lambda}", "example!Sum", "example!main"));
  EXPECT_THAT(StableParts({{Frame("Money::operator<(Money const&)"), Frame("Buy()")}}),
              ElementsAre("example!Money::operator<", "example!Buy"));
  EXPECT_THAT(StableParts({{Frame("Matrix::operator()(int)")}}),
              ElementsAre("example!Matrix::operator()"));
}

// GCC's code ends the program where the exception is thrown; clang's unwinds to the function that
// promised noexcept first. That one is to blame: to throw is no mistake.
TEST(StableSignatureTest, BlamesWhoPromisedNoexceptAndNotWhoThrew) {
  const auto expected = ElementsAre("example!ReadConfig", "example!Load", "example!main");
  EXPECT_THAT(StableParts({{Frame("abort"), Frame("__gxx_personality_v0"),
                            Frame("_Unwind_RaiseException"), Frame("__cxa_throw"), Frame("Parse"),
                            Frame("ReadConfig"), Frame("Load"), Frame("main")}}),
              expected);
  EXPECT_THAT(
      StableParts({{Frame("abort"), Frame("std::terminate()"), Frame("__clang_call_terminate"),
                    Frame("ReadConfig"), Frame("Load"), Frame("main")}}),
      expected);
  EXPECT_THAT(StableParts({{Frame("abort"), Frame("__gxx_personality_v0"), Frame("__cxa_rethrow"),
                            Frame("Parse"), Frame("ReadConfig"), Frame("Load"), Frame("main")}}),
              expected);
  // Who threw is the library.
  EXPECT_THAT(StableParts({{Frame("abort"), Frame("__gxx_personality_v0"), Frame("__cxa_throw"),
                            Frame("std::__throw_out_of_range(char const*)"), Frame("ReadConfig"),
                            Frame("Load"), Frame("main")}}),
              expected);
  // Nobody caught it at all, or there is nobody else.
  EXPECT_THAT(StableParts({{Frame("abort"), Frame("__cxa_throw"), Frame("Parse"), Frame("main")}}),
              ElementsAre("example!Parse", "example!main"));
  EXPECT_THAT(StableParts({{Frame("abort"), Frame("__gxx_personality_v0"), Frame("__cxa_throw"),
                            Frame("main"), Frame("__libc_start_main")}}),
              ElementsAre("example!main"));
}

TEST(StableSignatureTest, TellsFunctionsOfOneNameInTwoProgramsApart) {
  EXPECT_NE(StableSignature({{Frame("main", "/usr/bin/a")}}),
            StableSignature({{Frame("main", "/usr/bin/b")}}));
}

TEST(StableSignatureTest, UsesBuildAndOffsetWhereThereIsNoName) {
  EXPECT_THAT(StableParts({{Frame("")}}), ElementsAre("abcd+0x10"));
}

TEST(StableSignatureTest, OfNothingButTheLibraryIsOfTheLibrary) {
  EXPECT_THAT(StableParts({{Frame("strlen", "/usr/lib/libc.so.6")}}),
              ElementsAre("libc.so!strlen"));
  EXPECT_TRUE(StableParts({}).empty());
}

TEST(ExactSignatureTest, KnowsNothingOfNamesAndInlining) {
  SignatureFrame inlined = Frame("inlined");
  inlined.inlined = true;
  EXPECT_EQ(ExactSignature({{Frame("a"), Frame("b")}}, "p"),
            ExactSignature({{inlined, Frame(""), Frame("c")}}, "p"));
  SignatureFrame moved = Frame("a");
  moved.offset = 0x11;
  EXPECT_NE(ExactSignature({{Frame("a")}}, "p"), ExactSignature({{moved}}, "p"));
}

// Every failed assertion has five frames of the C library on top: with five frames all of a machine
// were one crash loop, told five times an hour.
TEST(ExactSignatureTest, TellsFailedAssertionsApart) {
  const SignatureFrame libc = Frame("", "/usr/lib/x86_64-linux-gnu/libc.so.6");
  SignatureFrame here = Frame("");
  SignatureFrame there = Frame("");
  there.offset = 0x11;
  EXPECT_NE(ExactSignature({{libc, libc, libc, libc, libc, here}}, "p"),
            ExactSignature({{libc, libc, libc, libc, libc, there}}, "p"));
}

// Which instruction of which function meets the end of the stack is chance: the kernel begins each
// stack at another place.
TEST(ExactSignatureTest, IsTheSameWhereverARecursionOverflows) {
  const auto at = [](uint64_t offset) {
    SignatureFrame frame = Frame("");
    frame.offset = offset;
    return frame;
  };
  CrashingStack stack{.frames = {}, .overflowed = true};
  for (int i = 0; i < 100; ++i) {
    stack.frames.push_back(at(0x10));
    stack.frames.push_back(at(0x20));
  }
  CrashingStack other = stack;
  other.frames.insert(other.frames.begin(), {at(0x99), at(0x20)});
  EXPECT_EQ(ExactSignature(stack, "p"), ExactSignature(other, "p"));
  EXPECT_NE(ExactSignature(stack, "p"), ExactSignature(stack, "q"));
  for (SignatureFrame& frame : other.frames) frame.offset += 4;
  EXPECT_NE(ExactSignature(stack, "p"), ExactSignature(other, "p"));
}

TEST(ExactSignatureTest, TellsProgramsApart) {
  EXPECT_NE(ExactSignature({{Frame("a")}}, "p"), ExactSignature({{Frame("a")}}, "q"));
}

}  // namespace
}  // namespace telem
