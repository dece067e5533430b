// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Breaks the kernel that it is loaded into, for tests under QEMU: `echo null > /proc/breaker`.
 *
 * Each way has a function of its own, whose name is the one to blame. The process that writes there
 * dies where the kernel can go on without it; the module stays, for the next one.
 */
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static noinline void breaker_warn(void) { WARN(1, "breaker: as it was told\n"); }

static noinline void breaker_null(void) { *(volatile int*)8 = 1; }

/* Not canonical: no page of it could ever exist. */
static noinline void breaker_gpf(void) { *(volatile int*)0xdead000000000100UL = 1; }

static noinline void breaker_bug(void) { BUG(); }

/* In C a compiler knows better. */
static noinline void breaker_divide(void) {
  asm volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static noinline void breaker_opcode(void) { asm volatile(".byte 0x0f, 0x0b, 0x0f, 0xff"); }

static noinline void breaker_jump(void) {
  void (*nowhere)(void) = (void*)0x10;

  nowhere();
}

static noinline void breaker_refcount(void) {
  refcount_t count = REFCOUNT_INIT(1);

  refcount_dec(&count);
  refcount_inc(&count);
}

static noinline void breaker_list(void) {
  struct list_head head = LIST_HEAD_INIT(head);
  struct list_head entry;

  list_add(&entry, &head);
  head.next = &head;
  list_del(&entry);
}

static noinline int breaker_hung(void* unused) {
  set_current_state(TASK_UNINTERRUPTIBLE);
  schedule();
  return 0;
}

static noinline int breaker_soft(void* unused) {
  /* Longer than kernel.watchdog_thresh twice, as the test sets it. */
  unsigned long end = jiffies + 20 * HZ;

  preempt_disable();
  while (time_before(jiffies, end)) cpu_relax();
  preempt_enable();
  return 0;
}

static noinline void breaker_panic(void) { panic("breaker: as it was told"); }

static const struct {
  const char* how;
  void (*go)(void);
} ways[] = {
    {"warn", breaker_warn},   {"null", breaker_null},         {"gpf", breaker_gpf},
    {"bug", breaker_bug},     {"divide", breaker_divide},     {"opcode", breaker_opcode},
    {"jump", breaker_jump},   {"refcount", breaker_refcount}, {"list", breaker_list},
    {"panic", breaker_panic},
};

static ssize_t breaker_write(struct file* file, const char __user* from, size_t size, loff_t* at) {
  struct task_struct* task = NULL;
  char how[16] = {};
  size_t i;

  if (size >= sizeof(how)) return -EINVAL;
  if (copy_from_user(how, from, size)) return -EFAULT;
  strim(how);
  for (i = 0; i < ARRAY_SIZE(ways); ++i) {
    if (strcmp(how, ways[i].how) == 0) {
      ways[i].go();
      return size;
    }
  }
  if (strcmp(how, "hung") == 0)
    task = kthread_run(breaker_hung, NULL, "breaker_hung");
  else if (strcmp(how, "soft") == 0)
    task = kthread_run(breaker_soft, NULL, "breaker_soft");
  else
    return -EINVAL;
  return IS_ERR(task) ? PTR_ERR(task) : size;
}

static const struct proc_ops breaker_ops = {.proc_write = breaker_write};

static int __init breaker_init(void) {
  return proc_create("breaker", 0200, NULL, &breaker_ops) ? 0 : -ENOMEM;
}

static void __exit breaker_exit(void) { remove_proc_entry("breaker", NULL); }

module_init(breaker_init);
module_exit(breaker_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Breaks the kernel, for tests");
