#include "probes/kernel/plumbing.h"

#include <gtest/gtest.h>

namespace telem {
namespace {

TEST(PlumbingTest, WhatReportsLocksCopiesAndInterruptsIsNotToBlame) {
  for (const char* name :
       {"dump_stack", "dump_stack_lvl", "warn_slowpath_fmt", "mutex_lock_nested",
        "_raw_spin_lock_irqsave", "__asan_memcpy", "page_fault_oops", "asm_exc_page_fault",
        "dump_trace", "__div0", "native_queued_spin_lock_slowpath", "schedule",
        "_RNvNtCs43vyB533jt3_4core9panicking9panic_fmt"}) {
    EXPECT_TRUE(IsPlumbing(name)) << name;
  }
}

TEST(PlumbingTest, WhatDoesTheWorkIs) {
  for (const char* name : {"ext4_readdir", "dev_watchdog", "tcp_sendmsg", "warn_invalid_dmar",
                           "kmalloc_oob_right", "vmalloc_oob", "", "_", "a"}) {
    EXPECT_FALSE(IsPlumbing(name)) << name;
    EXPECT_FALSE(IsAllocator(name)) << name;
    EXPECT_FALSE(IsWaiting(name)) << name;
  }
}

TEST(PlumbingTest, LeadingUnderscoresDoNotCount) {
  EXPECT_TRUE(IsAllocator("__kmalloc"));
  EXPECT_TRUE(IsAllocator("kmalloc"));
  EXPECT_TRUE(IsDispatcher("__vfs_write"));
}

TEST(PlumbingTest, EachPurposeHasItsOwnNames) {
  EXPECT_TRUE(IsWaiting("wait_for_completion"));
  EXPECT_TRUE(IsWaiting("msleep"));
  EXPECT_TRUE(IsAllocatorForOthers("idr_get_free"));
  EXPECT_TRUE(IsAllocatorForOthers("strndup_user"));
  EXPECT_TRUE(IsAllocatorForOthers("sock_alloc_inode"));
  EXPECT_FALSE(IsAllocator("idr_get_free"));
  EXPECT_FALSE(IsAllocatorForOthers("load_module"));
  EXPECT_TRUE(IsReporting("bad_page"));
  EXPECT_TRUE(IsReporting("unwind_backtrace"));
  EXPECT_FALSE(IsReporting("mutex_lock"));
  EXPECT_FALSE(IsReporting("get_page_from_freelist"));
  EXPECT_TRUE(IsInterruptEntry("asm_sysvec_apic_timer_interrupt"));
  EXPECT_TRUE(IsWaitingForProcessors("smp_call_function_many_cond"));
  EXPECT_TRUE(IsBookkeeping("kobject_put"));
  EXPECT_FALSE(IsPlumbing("kobject_put"));
}

}  // namespace
}  // namespace telem
