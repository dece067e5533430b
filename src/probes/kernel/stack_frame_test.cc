#include "probes/kernel/stack_frame.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

struct Case {
  std::string_view text;
  std::string_view function;
  std::string_view module;
  std::string_view offset;
  bool certain = true;
};

TEST(StackFrameTest, ReadsTheFormsOfAllArchitecturesAndGenerations) {
  constexpr Case kCases[] = {
      {" dump_stack+0x194/0x257", "dump_stack", "", "+0x194/0x257"},
      {" ? ath9k_tasklet+0x1a/0x90 [ath9k]", "ath9k_tasklet", "ath9k", "+0x1a/0x90", false},
      {" <IRQ>  [<ffffffff816efb87>] show+0x31a/0x325", "show", "", "+0x31a/0x325"},
      {" [<ffffffff816efb87>] ? show+0x31a/0x325", "show", "", "+0x31a/0x325", false},
      {" <<EOE>>  [<ffffffffa01d20a0>] fw_write+0x20/0x40 [fw]", "fw_write", "fw", "+0x20/0x40"},
      {" <TASK> [<ffffffff81122334>] coil_set+0x2/0x3", "coil_set", "", "+0x2/0x3"},
      {"[<c00c89f0>] (create_object) from [<c00c6764>] (__kmalloc+0x138/0x178)", "create_object",
       "", ""},
      {" fpga_peek [fpga] from fpga_ioctl+0x5c/0xd0 [fpga]", "fpga_peek", "fpga", ""},
      {"[c0000000f7e1bbd0] [c00000000012ab34] .do_exit+0x10/0x20 (unreliable)", ".do_exit", "",
       "+0x10/0x20", false},
      {"([<000003ff8030a0a0>] tape_seek+0x10/0x60 [tapemod])", "tape_seek", "tapemod",
       "+0x10/0x60"},
      {" nv_probe+0x1/0x2 [nv 0123456789abcdef0123456789abcdef01234567]", "nv_probe", "nv",
       "+0x1/0x2"},
      {" nv_probe+0x1/0x2 [nv(PO)]", "nv_probe", "nv", "+0x1/0x2"},
      {" label_parse+0x71/0x210 drivers/misc/label.c:55", "label_parse", "", "+0x71/0x210"},
      {" label_parse (drivers/misc/label.c:55) label", "label_parse", "label", ""},
      {" label_parse (drivers/misc/label.h:5 drivers/misc/label.c:55 (discriminator 1)) [label]",
       "label_parse", "label", ""},
      {" ? label_parse (drivers/misc/label.h:5 drivers/misc/label.c:?) ", "label_parse", "", "",
       false},
      {" [<ffffffff82f3a6d1>] label_parse+0x71/0x210 drivers/misc/label.c:55", "label_parse", "",
       "+0x71/0x210"},
      {"       <ffffffff8026ef76>{label_parse+155}", "label_parse", "", "+155"},
      {" <IRQ> <ffffffff882ea9ff>{:label:label_parse+520}", "label_parse", "label", "+520"},
      {" [<ffffffffa0011756>] :label:label_parse+0xb9/0x110", "label_parse", "label",
       "+0xb9/0x110"},
      {" <ffffffff81c01b4c> label_parse+0x1/0x2", "label_parse", "", "+0x1/0x2"},
      {" [] label_parse+0x2d/0x80 [label]", "label_parse", "label", "+0x2d/0x80"},
      {" [] ? label_parse+0x2d/0x80", "label_parse", "", "+0x2d/0x80", false},
      {"Caller[00000000004342ac]: label_parse+0x10/0x40 [label]", "label_parse", "label",
       "+0x10/0x40"},
      {"label_parse (??:?) ", "label_parse", "", ""},
  };
  for (const Case& c : kCases) {
    const auto frame = ParseStackFrame(c.text);
    ASSERT_EQ(frame.has_value(), !c.function.empty()) << c.text;
    if (!frame) continue;
    EXPECT_EQ(frame->function, c.function) << c.text;
    EXPECT_EQ(frame->module, c.module) << c.text;
    EXPECT_EQ(frame->offset, c.offset) << c.text;
    EXPECT_EQ(frame->certain, c.certain) << c.text;
  }
}

TEST(StackFrameTest, TakesNoSentenceForAFrame) {
  for (const std::string_view text : {"",
                                      "Call Trace:",
                                      "vfs_read+0x1/0x2 is where it happened",
                                      "RAX: 0000000000000000",
                                      "vfs_read",
                                      "vfs_read+0x1",
                                      "vfs_read+0x1/",
                                      "+0x1/0x2",
                                      "[<ffffffff816efb87>]",
                                      "Code: 48 8b",
                                      "vfs_read drivers/misc/label.c:55 [inline]",
                                      "vfs_read (see label.c:55)",
                                      "vfs_read (label.c:55) failed: -5",
                                      "vfs_read (label.c:55)\xdf",
                                      "vfs_read+0x1/0x2 see label.c:55",
                                      "[<12>] x+0x1/0x2",
                                      "<a very long tag that is none> x+0x1/0x2",
                                      "{label_parse+1",
                                      "{label_parse+}",
                                      "{+1}",
                                      "{label_parse+0x1/0x2}",
                                      ":label:label_parse",
                                      ":label",
                                      ":a b:label_parse+0x1/0x2",
                                      "[]",
                                      "[] ",
                                      "<ffffffff8026ef76>",
                                      "<ffffffff8026ef76",
                                      "Caller[00000000004342ac]:",
                                      "Caller["}) {
    EXPECT_FALSE(ParseStackFrame(text)) << text;
  }
}

TEST(StackFrameTest, TakesOneFrameAfterTheOtherFromALine) {
  std::string_view rest = " <c024bb6d> block_a+0x111/0x220   <c024ba64> block_b+0x4/0x220";
  auto frame = TakeStackFrame(rest);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->function, "block_a");
  frame = TakeStackFrame(rest);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->function, "block_b");
  EXPECT_FALSE(TakeStackFrame(rest));
  EXPECT_EQ(rest, "");
}

TEST(StackFrameTest, DoubtsThatACallReturnsToTheStartOfAFunction) {
  const auto left_over = ParseStackFrame(" [<c0131d20>] keventd_create+0x0/0xc4");
  ASSERT_TRUE(left_over);
  EXPECT_FALSE(left_over->certain);
  const auto arm =
      ParseStackFrame("[<c0014658>] (show_it+0x0/0xf8) from [<c0080c4c>] (do_it+0x3/0x8)");
  ASSERT_TRUE(arm);
  EXPECT_TRUE(arm->certain) << "arm names who was called, with no offset of its own";
}

TEST(StackFrameTest, GivesTheNameWithoutWhatCompilersAdd) {
  EXPECT_EQ(PlainName("load.isra.0"), "load");
  EXPECT_EQ(PlainName("load.constprop.0.cold"), "load");
  EXPECT_EQ(PlainName(".do_exit"), "do_exit");
  EXPECT_EQ(PlainName("load"), "load");
}

}  // namespace
}  // namespace telem
