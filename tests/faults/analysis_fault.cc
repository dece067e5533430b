// Analysis fault: stands between crashprobe and libdw (LD_PRELOAD), and takes over the child that
// looks into a crashed program, as a hole in libdw would let a crafted file do.
//
// TELEM_ANALYSIS_FAULT says when and what: "early:…" before anything is known, "second:…" when the
// stack of one thread is known, "late:…" when stacks are known and names are looked for; hang,
// crash, memory, escape (tries all that the child must not be able to do, and hands what came of it
// over as its text), chatter (hands over text that is none of a report) or escape32 (a system call
// of the 32-bit kind).
#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

// The child's messages to its parent, as sandbox.cc has them.
void HandOver(int link, const std::string& text) {
  std::string message = "t" + text;
  if (write(link, message.data(), message.size()) < 0) _exit(3);
  if (write(link, "e", 1) < 0) _exit(3);
}

// Tells what came of each as a frame: the parent takes nothing but lines of a report.
struct Attempts {
  std::string text = "\nBacktrace (TID 1):\n";
  int count = 0;

  void Note(const char* what, bool done) {
    text += "#" + std::to_string(count++) + " Escape: " + what + (done ? ": done" : ": refused") +
            " - [unmapped]\n";
  }
  template <typename... Words>
  void Call(const char* what, long number, Words... words) {
    Note(what, syscall(number, words...) >= 0);
  }
};

void TryFiles(Attempts& a) {
#ifdef __x86_64__
  a.Call("open", SYS_open, "/etc/passwd", O_RDONLY);
  a.Call("creat", SYS_creat, "/tmp/telemetrics-escape", 0600);
  a.Call("unlink", SYS_unlink, "/etc/hostname");
#endif
  a.Call("openat", SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
  char how[24] = {};
  a.Call("openat2", SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how));
  a.Call("open_by_handle_at", SYS_open_by_handle_at, 0, how, O_RDONLY);
  a.Call("memfd_create", SYS_memfd_create, "x", 0);
  a.Call("unlinkat", SYS_unlinkat, AT_FDCWD, "/etc/hostname", 0);
  a.Call("renameat2", SYS_renameat2, AT_FDCWD, "/etc/hostname", AT_FDCWD, "/etc/hostname2", 0);
  a.Call("mkdirat", SYS_mkdirat, AT_FDCWD, "/tmp/telemetrics-escape", 0700);
  a.Call("fchmodat", SYS_fchmodat, AT_FDCWD, "/etc/passwd", 0666);
  a.Call("symlinkat", SYS_symlinkat, "/", AT_FDCWD, "/tmp/telemetrics-escape");
  a.Call("chroot", SYS_chroot, "/");
  a.Call("mount", SYS_mount, "none", "/mnt", "tmpfs", 0, nullptr);
  struct stat st;
  a.Call("stat", SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, AT_EMPTY_PATH);
}

void TryNetwork(Attempts& a, int link) {
  a.Call("socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0);
  a.Call("socket unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0);
  a.Call("socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0);
  int pair[2];
  a.Call("socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  a.Call("connect", SYS_connect, link, &address, sizeof(address));
  a.Call("bind", SYS_bind, link, &address, sizeof(address));
  // A descriptor for the parent.
  msghdr message{};
  a.Call("sendmsg", SYS_sendmsg, link, &message, 0);
}

void TryProcesses(Attempts& a, pid_t parent) {
  a.Call("kill", SYS_kill, parent, 0);
  a.Call("kill everybody", SYS_kill, -1, 0);
  a.Call("tgkill", SYS_tgkill, parent, parent, 0);
  a.Call("rt_sigqueueinfo", SYS_rt_sigqueueinfo, parent, 0, nullptr);
  a.Call("pidfd_open", SYS_pidfd_open, parent, 0);
  a.Call("ptrace attach", SYS_ptrace, PTRACE_ATTACH, parent, 0, 0);
  a.Call("ptrace seize", SYS_ptrace, PTRACE_SEIZE, parent, 0, 0);
  a.Call("ptrace traceme", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
  long word = 0;
  iovec part{&word, sizeof(word)};
  a.Call("process_vm_readv", SYS_process_vm_readv, parent, &part, 1, &part, 1, 0);
  a.Call("process_vm_writev", SYS_process_vm_writev, parent, &part, 1, &part, 1, 0);
  a.Call("perf_event_open", SYS_perf_event_open, &word, parent, -1, -1, 0);
#ifdef __x86_64__
  a.Call("fork", SYS_fork);
  a.Call("vfork", SYS_vfork);
#endif
  a.Call("clone", SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  char clone3[88] = {};
  a.Call("clone3", SYS_clone3, clone3, sizeof(clone3));
  a.Call("execve", SYS_execve, "/bin/true", nullptr, nullptr);
  a.Call("setpriority", SYS_setpriority, PRIO_PROCESS, 0, -5);
  a.Call("prlimit64", SYS_prlimit64, parent, RLIMIT_CORE, nullptr, clone3);
}

void TryTheRest(Attempts& a) {
  a.Call("setuid", SYS_setuid, 0);
  a.Call("setgid", SYS_setgid, 0);
  a.Call("prctl", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
  a.Call("seccomp", SYS_seccomp, 0, 0, nullptr);
  a.Call("unshare", SYS_unshare, CLONE_NEWUSER);
  a.Call("setns", SYS_setns, 0, 0);
  a.Call("bpf", SYS_bpf, 0, nullptr, 0);
  a.Call("userfaultfd", SYS_userfaultfd, 0);
  io_uring_params ring{};
  a.Call("io_uring_setup", SYS_io_uring_setup, 1, &ring);
  a.Call("add_key", SYS_add_key, "user", "x", "y", 1, -2);
  a.Call("shmget", SYS_shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  a.Call("ioctl", SYS_ioctl, 0, TIOCSTI, "x");
  constexpr auto kSize = size_t{4096};
  a.Note("mmap of code", mmap(nullptr, kSize, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                              -1, 0) != MAP_FAILED);
  a.Note("shared memory", mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                               -1, 0) != MAP_FAILED);
  void* page = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  a.Note("mprotect of code", mprotect(page, kSize, PROT_READ | PROT_EXEC) == 0);
}

// What it was given may be read, and that is all.
void TryDescriptors(Attempts& a, int link) {
  char byte = 0;
  iovec part{&byte, 1};
  int count = 0;
  bool written = false;
  for (int fd = 0; fd < 1024; ++fd) {
    if (fd == link || fcntl(fd, F_GETFD) < 0) continue;
    ++count;
    // Of a process, its memory: addresses that surely are there.
    for (const long place : {0L, 0x400000L, reinterpret_cast<long>(&byte)}) {
      written |= pwrite(fd, &byte, 1, place) >= 0 || pwritev(fd, &part, 1, place) >= 0;
      written |= lseek(fd, place, SEEK_SET) >= 0 && write(fd, &byte, 1) >= 0;
    }
    written |= ftruncate(fd, 0) == 0 || fchmod(fd, 0666) == 0 || fchown(fd, 0, 0) == 0;
    written |= mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
  }
  a.Note(("write to one of " + std::to_string(count) + " descriptors").c_str(), written);
}

int FindLink() {
  for (int fd = 0; fd < 1024; ++fd) {
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)) return fd;
  }
  return -1;
}

pid_t parent = 0;  // of the child: crashprobe itself

void Escape() {
  const int link = FindLink();
  if (link < 0) _exit(3);
  Attempts attempts;
  TryFiles(attempts);
  TryNetwork(attempts, link);
  TryProcesses(attempts, parent);
  TryTheRest(attempts);
  TryDescriptors(attempts, link);
  HandOver(link, attempts.text);
  _exit(0);
}

void Misbehave(std::string_view when) {
  const char* fault = getenv("TELEM_ANALYSIS_FAULT");
  const std::string_view plan = fault != nullptr ? fault : "";
  if (plan.substr(0, plan.find(':')) != when) return;
  const std::string_view what = plan.substr(plan.find(':') + 1);
  if (what == "hang") {
    for (;;) asm volatile("");
  } else if (what == "crash") {
    *static_cast<volatile int*>(nullptr) = 1;
  } else if (what == "memory") {
    for (;;) {
      // What counts least, where it can be had.
      constexpr size_t kMore = 1 << 20;
      void* shared =
          mmap(nullptr, kMore, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      auto* more = static_cast<volatile char*>(shared != MAP_FAILED ? shared : malloc(kMore));
      for (size_t i = 0; more != nullptr && i < kMore; i += 4096) more[i] = 1;
    }
  } else if (what == "escape") {
    Escape();
  } else if (what == "chatter") {
    HandOver(FindLink(), "CANARY-OF-THE-CHILD\n");
    _exit(0);
#ifdef __x86_64__
  } else if (what == "escape32") {
    long result = 20;  // getpid of i386
    asm volatile("int $0x80" : "+a"(result));
#endif
  }
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

__attribute__((constructor)) void RememberParent() { parent = getpid(); }

}  // namespace

extern "C" Dwfl* dwfl_begin(const Dwfl_Callbacks* callbacks) {
  Misbehave("early");
  return Real<decltype(dwfl_begin)>("dwfl_begin")(callbacks);
}

extern "C" int dwfl_getthread_frames(Dwfl* dwfl, pid_t tid,
                                     int (*callback)(Dwfl_Frame* frame, void* arg), void* arg) {
  static int count = 0;
  if (++count == 2) Misbehave("second");
  return Real<decltype(dwfl_getthread_frames)>("dwfl_getthread_frames")(dwfl, tid, callback, arg);
}

extern "C" Dwarf* dwfl_module_getdwarf(Dwfl_Module* module, Dwarf_Addr* bias) {
  Misbehave("late");
  return Real<decltype(dwfl_module_getdwarf)>("dwfl_module_getdwarf")(module, bias);
}
