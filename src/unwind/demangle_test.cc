#include "unwind/demangle.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(DemangleTest, ReadsNamesOfCpp) {
  EXPECT_EQ(Demangle("_ZN2ns3FooIiE3barEPKc"), "ns::Foo<int>::bar(char const*)");
  EXPECT_EQ(Demangle("_ZN2ns3FooIiE3barEPKc.cold"), "ns::Foo<int>::bar(char const*) [clone .cold]");
}

TEST(DemangleTest, LeavesNamesOfCAndGoAlone) {
  EXPECT_EQ(Demangle("parse_header"), "parse_header");
  EXPECT_EQ(Demangle("main.(*Server).Serve"), "main.(*Server).Serve");
  EXPECT_EQ(Demangle(""), "");
  EXPECT_EQ(Demangle("_Z"), "_Z");
  EXPECT_EQ(Demangle("_R"), "_R");
}

TEST(DemangleTest, ReadsRustsOldNamesWithoutTheirHash) {
  EXPECT_EQ(Demangle("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
  EXPECT_EQ(
      Demangle("_ZN49_$LT$usize$u20$as$u20$core..ops..Add$LT$T$GT$$GT$3add17h0123456789abcdefE"),
      "<usize as core::ops::Add<T>>::add");
  EXPECT_EQ(Demangle("_ZN4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE"),
            "main::{{closure}}");
}

// From RFC 2603 and from rustc's own output.
TEST(DemangleTest, ReadsRustsNewNames) {
  EXPECT_EQ(Demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
  EXPECT_EQ(Demangle("_RNvMs_NtCs1234_7mycrate3fooNtB4_3Bar3baz"), "<mycrate::foo::Bar>::baz");
  EXPECT_EQ(Demangle("_RNvXCs1234_7mycrateNtB2_3FooNtB2_3Bar3run"),
            "<mycrate::Foo as mycrate::Bar>::run");
  EXPECT_EQ(Demangle("_RNCNvCs1234_7mycrate4main0"), "mycrate::main::{closure#0}");
  EXPECT_EQ(Demangle("_RINvCs1234_7mycrate3fooReE"), "mycrate::foo::<&str>");
  EXPECT_EQ(Demangle("_RINvCs1234_7mycrate3fooKj7_E"), "mycrate::foo::<7>");
  EXPECT_EQ(Demangle("_RNvXsc_NtCslNYArtu3iFV_5alloc3vecINtB5_3VecjE"
                     "INtNtNtCsgEmfK2I1SDS_4core3ops5index5IndexjE5indexCs6GmmlP4bgsG_1r"),
            "<alloc::vec::Vec<usize> as core::ops::index::Index<usize>>::index");
}

// What a trait's types are bound to stands in the bracket of its arguments.
TEST(DemangleTest, ReadsRustsTraitObjects) {
  EXPECT_EQ(
      Demangle("_RINvNtCsgEmfK2I1SDS_4core3mem15size_of_val_rawDINtNtNtB4_3ops8function6FnOnceuE"
               "p6OutputuNtNtB4_6marker4SendEL_ECsjrHSEGnQ3l9_3std"),
      "core::mem::size_of_val_raw::<dyn core::ops::function::FnOnce<(), Output = ()> + "
      "core::marker::Send>");
}

TEST(DemangleTest, EndsOnNamesThatGoInCircles) {
  EXPECT_EQ(DemangleRustV0("_RNvB_3foo"), "");
  EXPECT_EQ(DemangleRustV0("_RINvCs1234_1a1b" + std::string(1000, 'R') + "eE"), "");
  std::string doubling = "_RINvC1a1b";
  for (int i = 0; i < 100; ++i) doubling += "TBb_Bb_E";
  EXPECT_LE(DemangleRustV0(doubling + "E").size(), kMaxReadable);
}

TEST(DemangleTest, BoundsWhatANameUnfoldsTo) {
  const std::string deep = "_Z1f" + std::string(kMaxMangled, 'P') + "i";
  EXPECT_EQ(Demangle(deep).size(), kMaxReadable + 3);  // cut, with an ellipsis
}

TEST(DemangleTest, LetsNoControlCharacterThrough) { EXPECT_EQ(Demangle("a\nb\x1b"), "a?b?"); }

}  // namespace
}  // namespace telem
