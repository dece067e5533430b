#include "probes/kernel/plumbing.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace telem {
namespace {

// In every table a name is a whole name, and `*` at either end stands for any text. Leading
// underscores in the stack do not count, unless a name in the table has the same.

constexpr std::string_view kReporting = R"(
  perf_trace_* trace_event_raw_event_* bpf_trace_* perf_tp_event
  perf_prepare_sample perf_output_* perf_event_output* trace_lock_* perf_swevent_*
  handle_overflow val_to_string native_save_fl native_restore_fl native_irq_* read_once_size*
  write_once_size* native_read_msr* native_write_msr* virt_to_* compound_head phys_addr* virt_addr_valid timerqueue_* dump_stack*
  show_stack* dump_backtrace dump_trace* show_trace* show_registers show_regs* printk*
  vprintk* print_address_description
  print_report print_trailer object_err slab_err* report_bug warn warn_slowpath* warn_printk
  warn_thunk* warn_alloc* warn_bogus_irq_restore panic* nmi_panic oops_end
  oops_begin die die_* crash_kexec spin_dump spin_bug rwlock_bug fixup_bug handle_bug bug_handler
  Ldiv0* div0
  bug_at bug_brk_handler report_error cold report_cfi* handle_cfi* dump_page* bad_page* bad_range
  print_bad_pte print_bad_page_map spl_panic spl_debug_bug spl_dumpstack
  # sanitizers
  kasan_* asan_* hwasan_* kmsan_* msan_* kcsan_* tsan_* kfence_* ubsan_* sanitizer_*
  check_memory_region* memory_is_poisoned* check_region_inline write_comp_data check_canary*
  end_report instrument_* depot_* stack_depot* save_stack* stack_trace_* set_track* quarantine_*
  qlist_* get_stack_skipnr check_unmap check_sync check_for_stack check_for_illegal_area
  add_dma_entry
  # lock validation, object tracking, and what counts what is allowed where
  lockdep_* print_circular* print_usage* print_deadlock* print_irq_inversion* print_bad_irq*
  print_unlock_* print_lock_* check_noncircular check_prev* check_deadlock check_irq_usage
  check_usage* check_wait_context mark_lock* mark_usage mark_held_locks validate_chain*
  lock_acquire lock_release* lock_acquired lock_contended register_lock_class look_up_lock_class
  assign_lock_key lock_is_held* valid_state match_held_lock find_held_lock lock_set_class
  lock_set_subclass lock_pin_lock lock_unpin_lock lock_repin_lock lock_downgrade
  reacquire_held_locks lock_commit_crosslock trace_hardirqs* trace_softirqs* trace_irq*
  trace_preempt* debug_* might_sleep* might_fault* might_resched cant_sleep*
  check_preemption_disabled preempt_count_* add_preempt_count sub_preempt_count
  this_cpu_preempt_check usercopy_* check_object_size* check_heap_object check_bogus_address
  fortify_* skb_panic skb_over_panic skb_under_panic stack_chk_fail* schedule_bug schedule_debug
  check_panic_on_warn refcount_* fault_create_debugfs_attr should_fail* fail_dump lib_should_fail
  rcu_read_lock* rcu_read_unlock* rcu_lock_acquire rcu_lock_release rcu_is_watching rcu_dynticks*
  rcu_note_context_switch list_add_valid* list_del_entry_valid* list_*corruption*
  *rust_begin_unwind* *4core9panicking* *4core6result13unwrap_failed*
  *4core6option13* rust_helper_* x86_indirect_thunk* x86_return_thunk fentry
  mcount ftrace_* return_to_handler retpoline* context_tracking_* kernel_text_address*
  in_gate_area* unwind_* arch_stack_walk* walk_stackframe
)";

constexpr std::string_view kLocking = R"(
  call_rwsem_* raw_spin_* spin_* do_raw_* raw_read_* raw_write_* read_lock* write_lock*
  read_unlock* write_unlock* queued_* native_queued* pv_queued* pv_wait* pv_kick* mutex_*
  ww_mutex_* rt_mutex_* rt_spin_* rtlock_* rwsem_* down_* down up_* up osq_* mcs_* rwbase_*
  rt_read_* rt_write_* percpu_down_* percpu_up_* percpu_rwsem* semaphore_* seqcount_* lock_sock*
  release_sock lock_page* folio_lock* folio_wait_* wait_on_page* unlock_page bit_spin_* hlist_bl_*
  atomic_* arch_atomic* ll_sc_* test_and_* set_bit clear_bit test_bit xchg* cmpxchg* arch_spin_* ticket_*
  llist_* local_bh_* local_irq_* local_lock* arch_local_* trylock_* try_lock* call_rcu* kfree_rcu*
  kvfree_call_rcu kfree_call_rcu kvfree_rcu* call_srcu srcu_* flush_work* start_flush_work
  flush_delayed_work cancel_work* cancel_delayed_work* queue_work* queue_delayed_work*
  mod_delayed_work* insert_work* touch_work_lockdep_map drain_workqueue destroy_workqueue
  del_timer* timer_delete* try_to_del_timer* mod_timer* add_timer* timer_shutdown* init_timer*
  lock_timer_base hrtimer_* tasklet_kill* do_init_timer timer_init_key init_work
)";

constexpr std::string_view kMemory = R"(
  # not kmalloc* and the like: drivers and tests have functions of such names
  kmalloc kmalloc_array* kmalloc_cache* kmalloc_large* kmalloc_node* kmalloc_nolock* kmalloc_noprof
  kmalloc_order* kmalloc_reserve kmalloc_slab kmalloc_trace* kmalloc_track* do_kmalloc* kzalloc*
  kcalloc* krealloc krealloc_array* krealloc_node* krealloc_noprof kvmalloc* kvzalloc* vmalloc
  vmalloc_32* vmalloc_array* vmalloc_huge* vmalloc_node* vmalloc_noprof vmalloc_user* vzalloc* kfree*
  kvfree* vfree* vunmap* kmem_cache_* slab_* do_slab_free cache_alloc* cache_free* cache_grow*
  cache_flusharray do_cache_alloc new_slab* allocate_slab* get_partial* alloc_slab* free_slab
  discard_slab free_block drain_freelist fallback_alloc deactivate_slab unfreeze_partials
  put_cpu_partial free_debug_processing alloc_debug_processing free_consistency_checks check_slab
  check_object check_bytes_and_report on_freelist cache_from_obj virt_to_cache free_large_kmalloc
  free_to_partial_list kstrdup* kmemdup* memdup_* kasprintf kvasprintf* kstrndup memcg_*
  obj_cgroup_* mem_cgroup_* create_object* kmemleak_* delete_object* devm_k* devm_krealloc
  alloc_pages* alloc_page* alloc_frozen_pages* get_free_page* get_zeroed_page free_pages*
  free_page* get_page_from_freelist free_unref_* free_pcp* free_one_page free_hot_cold*
  free_frozen_pages* free_unref_page* free_compound_page release_pages put_page* folio_put*
  free_the_page prep_new_page post_alloc_hook rmqueue* alloc_frozen* folio_alloc* vma_alloc_folio*
  pagevec_* tlb_*_pages free_swap_cache* free_tail_page_prepare page_pool_* pcpu_* alloc_percpu*
  free_percpu alloc_skb* dev_alloc_skb netdev_alloc_skb* build_skb* napi_alloc_skb*
  napi_build_skb* pskb_expand_head skb_put* skb_push* skb_pull* pskb_put skb_clone
  skb_free_* alloc_skb_with_frags sock_alloc_send_* sock_wmalloc sk_prot_alloc sk_alloc
  dma_alloc_* dma_free_* dma_map_* dma_unmap_* dma_sync_* dma_pool_* get_vm_area* alloc_vmap_area* mempool_* add_object* remove_vm_area
  find_vm_area kernel_poison_pages unpoison_page* bpf_map_area_alloc bpf_map_kmalloc_node
  bpf_map_kzalloc bpf_map_alloc_percpu alloc_vm_area
)";

// Where memory is lost, also who gets memory only to keep or copy something for the caller.
constexpr std::string_view kAllocatingForOthers = R"(
  *alloc* idr_get_* radix_tree_* xas_* xa_* strndup_* strdup_* create_object*
)";

constexpr std::string_view kCopying = R"(
  pi_mem* pi_str* do_strncpy_from_user* bitmap_weight bitmap_zero bitmap_equal bitmap_parse*
  bitmap_and bitmap_or bitmap_set bitmap_clear skb_copy_bits skb_copy_datagram* memcpy* memset*
  memmove* memcmp* memchr* memscan bcmp mem*_erms strlen* strnlen* strcmp* strncmp* strcasecmp
  strcpy* strncpy* strlcpy* strscpy* strstr strnstr strchr* strrchr strnchr strcat strlcat strsep
  strim strpbrk str*_erms strnchr* sized_str* strncasecmp strreplace skip_spaces copy_user*
  copy_to_user* copy_from_user* copy_in_user* arch_copy_* raw_copy_* clear_user* arch_clear_user
  asm_copy_* rep_movs* copy_from_kernel* copy_to_iter* copy_from_iter* copyin copyout* copy_page*
  clear_page* copy_mc_* iterate_and_advance* simple_copy_to_iter iov_iter_* get_user* put_user* csum_* do_csum
  probe_kernel_* strncpy_from_* strnlen_user read_word_at_a_time read_once_word_nocheck
  load_unaligned_zeropad copy_compat_* vsnprintf snprintf sprintf vsprintf scnprintf vscnprintf
  sscanf vsscanf hex_dump_* bin2hex rb_* list_add* list_del* list_sort* hlist_* radix_tree_lookup*
  radix_tree_next* xa_load xas_* find_next_bit* find_first_bit* find_next_zero* cpumask_* plist_*
  siphash* jhash* hsiphash* sort sort_r lockref_* usb_kill_*
)";

constexpr std::string_view kFaulting = R"(
  page_fault do_page_fault exc_* asm_exc_* do_error_trap do_trap* do_invalid_op invalid_op
  asm_sysvec* sysvec_* do_general_protection general_protection do_double_fault double_fault
  do_int3 int3 do_divide_error divide_error divide_by_zero* error_entry do_user_addr_fault
  do_kern_addr_fault bad_area* no_context page_fault_oops kernelmode_fixup_or_oops fixup_exception
  mm_fault_error handle_page_fault ex_handler* kernel_exc* do_bad_area do_bad_addr spurious_*fault
  do_kernel_fault do_mem_abort do_translation_fault do_tag_check_fault do_alignment_fault do_sea
  el1_* el1h_* el1t_* do_debug_exception brk_handler call_break_hook do_el1_* do_DataAbort
  dabt_svc do_PrefetchAbort pabt_svc und_svc* do_undefinstr call_fpe arm_notify_die
  do_translation* do_page_fault* do_sect_fault arm64_notify_die vmalloc_fault native_*iret*
  paranoid_* ret_from_exception handle_exception do_trap_* do_program_check* program_check*
  data_access* pgm_check* do_protection_exception do_dat_exception report_user_fault
  kernel_kprobe* do_undef* debug_trap_entry instruction_dump restore_all restore_args xen_*_exc*
  async_page_fault do_async_page_fault do_coprocessor* mce_* do_machine_check do_nmi
  default_do_nmi nmi nmi_* end_repeat_nmi first_nmi repeat_nmi
)";

constexpr std::string_view kTicking = R"(
  update_process_times tick_sched_* tick_nohz_* tick_handle_* tick_periodic tick_do_* hrtimer_* run_hrtimer* apic_timer_interrupt
  smp_apic_timer_interrupt* smp_trace_apic* local_apic_timer_interrupt reschedule_interrupt
  rcu_check_callbacks* rcu_sched_clock_irq* rcu_dump_cpu_stacks* rcu_pending check_cpu_stall
  print_cpu_stall* print_other_cpu_stall* rcu_preempt_* rcu_print_* rcu_check_gp* rcu_tasks*
  check_all_holdout* check_holdout* sched_show_task* dump_cpu_task nmi_cpu_backtrace* nmi_trigger*
  arch_trigger_* trigger_*_backtrace* watchdog_* check_hung* watchdog kwatchdog lockup_detector*
  perf_event_overflow perf_event_nmi* intel_pmu_* x86_pmu_* softlockup_* is_softlockup
  timer_interrupt arch_timer_handler* handle_percpu_devid_irq generic_handle_* handle_domain_irq
  gic_handle_irq handle_irq* handle_fasteoi_irq handle_edge_irq handle_level_irq
  do_interrupt_handler call_on_irq_stack do_IRQ common_interrupt ret_from_intr irq_exit*
  irq_enter* do_irq* asm_call_* call_on_stack irqentry_* irq_svc irq_*_rcu
  smp_call_function_single_interrupt generic_smp_call_function* flush_smp_call_function* csd_*
  handle_IPI ipi_* note_interrupt report_bad_irq
)";

constexpr std::string_view kScheduling = R"(
  schedule* do_sched_yield preempt_schedule* cond_resched* might_resched context_switch switch_to*
  finish_task_switch io_schedule* yield ttwu_* try_to_wake_up wake_up* complete complete_all
  swake_up* prepare_to_wait* finish_wait autoremove_wake_function default_wake_function
)";

constexpr std::string_view kWaiting = R"(
  exp_funnel_lock _synchronize_rcu_expedited wait_for_* do_wait_for_common wait_on_*
  out_of_line_wait* bit_wait* wait_event* prepare_to_wait* msleep* usleep_range* schedule_timeout*
  refrigerator bit_wait_io* wait_woken sleep_on* do_wait_intr* wait_completion* folio_wait*
  cv_wait* cv_timedwait* zio_wait jbd2_log_wait_commit sync_page sync_buffer sleep_on_page* sleep_on_buffer inode_wait io_schedule* closure_sync* __wait_rcu_gp wait_rcu_gp
  # who looked at the clock while it waited
  ktime_get* getrawmonotonic* timekeeping_* sched_clock* read_tsc
)";

constexpr std::string_view kBookkeeping = R"(
  kref_* get_device put_device dput fast_dput iput sock_hold sock_put usb_submit_urb static_key_*
  jump_label_* module_put try_module_get fput_many sysfs_* internal_create_group create_files
  remove_files dpm_sysfs_* device_add* device_del device_register device_unregister device_create*
  device_destroy device_release device_remove_* device_initialize get_device_parent
  cleanup_glue_dir device_link_* kobject_* kset_* create_dir populate_dir class_* bus_add_*
  bus_remove_* driver_register driver_unregister cdev_* i2c_del_adapter unregister_client
  devres_* device_for_each_child* bus_for_each_* driver_for_each_device i2c_add_adapter proc_create*
  proc_register debugfs_* kernfs_* remove_entry free_obj_work cleanup_srcu_struct ida_* idr_*
  flush_workqueue* drain_workqueue workqueue_* check_flush_dependency percpu_ref_*
  percpu_counter_*
)";

constexpr std::string_view kInterruptEntries = R"(
  apic_timer_interrupt asm_sysvec_* reschedule_interrupt call_function_*interrupt
  irq_work_interrupt common_interrupt asm_common_interrupt ret_from_intr el1_irq el1h_64_irq
  irq_svc nmi end_repeat_nmi asm_exc_nmi hardware_interrupt_common* decrementer_common*
  ret_from_exception io_int_handler ext_int_handler smp_apic_timer_interrupt_entry*
  smp_trace_apic_timer_interrupt_entry* do_entInt
  handle_int rollback_handle_int except_vec_vi_end handle_vint tl0_irq*
)";

constexpr std::string_view kDispatchers = R"(
  # system calls
  do_syscall_* entry_SYSCALL* entry_SYSENTER* entry_INT80* invoke_syscall* el0_svc* do_el0_svc*
  do_fast_syscall* do_int80* do_SYSENTER* sysenter_* system_call* int_ret_from_sys_call
  ret_fast_syscall ret_from_syscall x64_sys_call ia32_sys_call tracesys* syscall_call ia32_sysret
  cstar_dispatch do_trap_ecall_u
  # file operations
  vfs_ioctl do_vfs_ioctl ksys_ioctl do_sys_ioctl se_sys_ioctl x64_sys_ioctl arm64_sys_ioctl
  SyS_ioctl SYSC_ioctl sys_ioctl compat_SyS_ioctl compat_sys_ioctl* C_SYSC_ioctl
  do_compat_sys_ioctl se_compat_sys_ioctl ia32_compat_sys_ioctl blkdev_driver_ioctl blkdev_ioctl
  compat_blkdev_ioctl *_compat_ioctl block_ioctl vfs_read vfs_write vfs_readv vfs_writev
  new_sync_read new_sync_write do_iter_read* do_iter_write do_loop_readv* call_read_iter
  call_write_iter vfs_iter_* vfs_iocb_* kernel_write do_sync_read do_sync_write fput task_work_run
  # kernel threads
  process_one_work run_workqueue kthread kthread_worker_fn cpu_startup_entry smpboot_thread_fn
  irq_thread_fn
  # timers and soft interrupts
  call_timer_fn do_softirq handle_softirqs softirqentry_text_start tasklet_action*
  # messages
  netif_receive_skb_core* netif_receive_skb_one_core netif_receive_skb_list_core deliver_skb
  nfnetlink_rcv_msg rtnetlink_rcv_msg genl_family_rcv_msg* genl_rcv_msg netlink_rcv_skb
)";

constexpr std::string_view kProcessors = R"(
  smp_call_function smp_call_function_*
)";

struct NameSet {
  std::vector<std::string_view> whole;     // sorted
  std::vector<std::string_view> starts;    // "x*"
  std::vector<std::string_view> contains;  // "*x*", "*x", "x*y": rare

  // `table`: names separated by blanks; the rest of a line behind # is a comment.
  void Add(std::string_view table) {
    while (!table.empty()) {
      const std::string_view line = TakeUntil(table, '\n');
      AddLine(line.substr(0, line.find('#')));
    }
    std::sort(whole.begin(), whole.end());
  }

  void AddLine(std::string_view names) {
    while (!(names = Trim(names)).empty()) {
      const std::string_view name = TakeUntil(names, ' ');
      const size_t star = name.find('*');
      if (star == std::string_view::npos) {
        whole.push_back(name);
      } else if (star == name.size() - 1) {
        starts.push_back(name.substr(0, star));
      } else {
        contains.push_back(name);
      }
    }
  }

  bool Has(std::string_view function) const {
    if (std::binary_search(whole.begin(), whole.end(), function)) return true;
    while (function.starts_with('_')) function.remove_prefix(1);
    if (std::binary_search(whole.begin(), whole.end(), function)) return true;
    for (const std::string_view start : starts) {
      if (function.starts_with(start)) return true;
    }
    for (const std::string_view pattern : contains) {
      const size_t star = pattern.find('*');
      const std::string_view tail = pattern.substr(star + 1);
      if (function.size() >= pattern.size() - 1 && function.starts_with(pattern.substr(0, star)) &&
          (tail.ends_with('*') ? function.contains(tail.substr(0, tail.size() - 1))
                               : function.ends_with(tail))) {
        return true;
      }
    }
    return false;
  }
};

}  // namespace

bool IsPlumbing(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kReporting);
    set.Add(kLocking);
    set.Add(kCopying);
    set.Add(kFaulting);
    set.Add(kTicking);
    set.Add(kScheduling);
    return set;
  }();
  return names.Has(function);
}

bool IsReporting(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kReporting);
    return set;
  }();
  return names.Has(function);
}

bool IsAllocator(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kMemory);
    return set;
  }();
  return names.Has(function);
}

bool IsAllocatorForOthers(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kAllocatingForOthers);
    return set;
  }();
  return names.Has(function);
}

bool IsWaiting(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kWaiting);
    return set;
  }();
  return names.Has(function);
}

bool IsScheduling(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kScheduling);
    return set;
  }();
  return names.Has(function);
}

bool IsBookkeeping(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kBookkeeping);
    return set;
  }();
  return names.Has(function);
}

bool IsInterruptEntry(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kInterruptEntries);
    return set;
  }();
  return names.Has(function);
}

bool IsDispatcher(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kDispatchers);
    return set;
  }();
  return names.Has(function);
}

bool IsWaitingForProcessors(std::string_view function) {
  static const NameSet names = [] {
    NameSet set;
    set.Add(kProcessors);
    return set;
  }();
  return names.Has(function);
}

}  // namespace telem
