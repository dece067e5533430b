// Fault injector: stands between telemd and libc (LD_PRELOAD), counts telemd's system calls, and
// makes the ones that a test names fail or be the last thing that the process did.
//
// A test steers it, also while telemd runs, through a Plan in a file that both have mapped; its
// path is in TELEM_FAULT_PLAN. support/faults.py has the same layout. Only processes whose name is
// telemd are touched, so telem-deliver, which inherits the environment, is not.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

// The order is that of CALLS in support/faults.py.
enum Call : uint32_t {
  kWrite,
  kWritev,
  kRename,
  kChmod,
  kUnlink,
  kFsync,
  kSyncfs,
  kTruncate,
  kLink,
  kOpen,
  kRead,
  kStat,
  kMkdir,
  kOpendir,
  kReaddir,
  kAccept,
  kRecv,
  kSend,
  kEpollCtl,
  kGetsockopt,
  kSocketpair,
  kSpawn,
  kThread,
  kSocket,
  kConnect,
  kBind,
  kAccess,
  kInotify,
  kFlock,
  kEpollCreate,
  kEventfd,
  kSignalfd,
  kMalloc,
  kCallCount
};

enum Mode : uint32_t { kOff, kCountOnly, kKill, kFail, kShorten, kHold };

struct Plan {
  std::atomic<uint32_t> mode;
  uint32_t error;              // the errno of a call that fails, or that was held; 0: it does not
  uint64_t calls;              // a bit for each Call that is meant
  uint64_t first;              // the first of these that is hit, counted from 1
  uint64_t count;              // how many in a row are hit
  std::atomic<uint64_t> seen;  // calls that were meant
  std::atomic<uint64_t> hit;   // and that were hit
  std::atomic<uint64_t> each[kCallCount];
};

// The plan, once it is there. Memory is asked for also before and on the way.
std::atomic<Plan*> mapped_plan;

Plan* MapPlan() {
  const char* const path = ::getenv("TELEM_FAULT_PLAN");
  if (path == nullptr || ::strcmp(::program_invocation_short_name, "telemd") != 0) return nullptr;
  // Not by the functions below: these ask for the plan.
  const auto real_open =
      reinterpret_cast<int (*)(const char*, int, ...)>(::dlsym(RTLD_NEXT, "open"));
  const int fd = real_open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) ::abort();
  void* const at = ::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) ::abort();
  mapped_plan = static_cast<Plan*>(at);
  return mapped_plan;
}

Plan* ThePlan() {
  static Plan* const plan = MapPlan();
  return plan;
}

// Whether this call is one that is hit. Does not come back when it is the process's last one.
bool IsHit(Call call, Mode mode = kFail) {
  Plan* const plan = ThePlan();
  if (plan == nullptr || plan->mode == kOff || (plan->calls >> call & 1) == 0) return false;
  ++plan->each[call];
  const uint64_t number = ++plan->seen;
  if (plan->mode == kCountOnly || number < plan->first || number - plan->first >= plan->count) {
    return false;
  }
  ++plan->hit;
  if (plan->mode == kKill) {
    ::kill(::getpid(), SIGKILL);
    while (true) ::pause();
  }
  if (plan->mode == kHold) {
    const int error = static_cast<int>(plan->error);
    while (plan->mode == kHold) ::usleep(1000);
    errno = error;
    return error != 0;
  }
  if (plan->mode != mode) return false;
  errno = static_cast<int>(plan->error);
  return true;
}

bool IsShortened() {
  const Plan* const plan = ThePlan();
  return plan != nullptr && plan->mode == kShorten;
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = Real<decltype(write)>("write");
  // The log goes elsewhere than to the disk, and a test wants to read it.
  if (fd == STDERR_FILENO) return real(fd, bytes, size);
  if (IsShortened()) return real(fd, bytes, IsHit(kWrite, kShorten) ? size / 2 : size);
  return IsHit(kWrite) ? -1 : real(fd, bytes, size);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static const auto real = Real<decltype(writev)>("writev");
  if (IsShortened()) return real(fd, parts, IsHit(kWritev, kShorten) ? 1 : count);
  return IsHit(kWritev) ? -1 : real(fd, parts, count);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = Real<int(const char*, const char*)>("rename");
  return IsHit(kRename) ? -1 : real(from, to);
}

int renameat(int from_dir, const char* from, int to_dir, const char* to) noexcept {
  static const auto real = Real<int(int, const char*, int, const char*)>("renameat");
  return IsHit(kRename) ? -1 : real(from_dir, from, to_dir, to);
}

int fchmod(int fd, mode_t mode) noexcept {
  static const auto real = Real<int(int, mode_t)>("fchmod");
  return IsHit(kChmod) ? -1 : real(fd, mode);
}

int unlink(const char* path) noexcept {
  static const auto real = Real<int(const char*)>("unlink");
  return IsHit(kUnlink) ? -1 : real(path);
}

int unlinkat(int dir, const char* path, int flags) noexcept {
  static const auto real = Real<int(int, const char*, int)>("unlinkat");
  return IsHit(kUnlink) ? -1 : real(dir, path, flags);
}

int link(const char* from, const char* to) noexcept {
  static const auto real = Real<int(const char*, const char*)>("link");
  return IsHit(kLink) ? -1 : real(from, to);
}

int linkat(int from_dir, const char* from, int to_dir, const char* to, int flags) noexcept {
  static const auto real = Real<int(int, const char*, int, const char*, int)>("linkat");
  return IsHit(kLink) ? -1 : real(from_dir, from, to_dir, to, flags);
}

int fsync(int fd) {
  static const auto real = Real<decltype(fsync)>("fsync");
  return IsHit(kFsync) ? -1 : real(fd);
}

int fdatasync(int fd) {
  static const auto real = Real<decltype(fdatasync)>("fdatasync");
  return IsHit(kFsync) ? -1 : real(fd);
}

int syncfs(int fd) noexcept {
  static const auto real = Real<int(int)>("syncfs");
  return IsHit(kSyncfs) ? -1 : real(fd);
}

int ftruncate(int fd, off_t size) noexcept {
  static const auto real = Real<int(int, off_t)>("ftruncate");
  return IsHit(kTruncate) ? -1 : real(fd, size);
}

int open(const char* path, int flags, ...) {
  static const auto real = Real<int(const char*, int, ...)>("open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return IsHit(kOpen) ? -1 : real(path, flags, mode);
}

int openat(int dir, const char* path, int flags, ...) {
  static const auto real = Real<int(int, const char*, int, ...)>("openat");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return IsHit(kOpen) ? -1 : real(dir, path, flags, mode);
}

ssize_t read(int fd, void* bytes, size_t size) {
  static const auto real = Real<decltype(read)>("read");
  return IsHit(kRead) ? -1 : real(fd, bytes, size);
}

ssize_t pread(int fd, void* bytes, size_t size, off_t at) {
  static const auto real = Real<decltype(pread)>("pread");
  return IsHit(kRead) ? -1 : real(fd, bytes, size, at);
}

int fstat(int fd, struct stat* st) noexcept {
  static const auto real = Real<int(int, struct stat*)>("fstat");
  return IsHit(kStat) ? -1 : real(fd, st);
}

int fstatat(int dir, const char* path, struct stat* st, int flags) noexcept {
  static const auto real = Real<int(int, const char*, struct stat*, int)>("fstatat");
  return IsHit(kStat) ? -1 : real(dir, path, st, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = Real<int(const char*, mode_t)>("mkdir");
  return IsHit(kMkdir) ? -1 : real(path, mode);
}

DIR* opendir(const char* path) {
  static const auto real = Real<decltype(opendir)>("opendir");
  return IsHit(kOpendir) ? nullptr : real(path);
}

DIR* fdopendir(int fd) {
  static const auto real = Real<decltype(fdopendir)>("fdopendir");
  return IsHit(kOpendir) ? nullptr : real(fd);
}

dirent* readdir(DIR* dir) {
  static const auto real = Real<decltype(readdir)>("readdir");
  return IsHit(kReaddir) ? nullptr : real(dir);
}

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  static const auto real = Real<decltype(accept4)>("accept4");
  return IsHit(kAccept) ? -1 : real(fd, address, size, flags);
}

ssize_t recv(int fd, void* bytes, size_t size, int flags) {
  static const auto real = Real<decltype(recv)>("recv");
  return IsHit(kRecv) ? -1 : real(fd, bytes, size, flags);
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  static const auto real = Real<decltype(send)>("send");
  return IsHit(kSend) ? -1 : real(fd, bytes, size, flags);
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  static const auto real = Real<int(int, int, int, epoll_event*)>("epoll_ctl");
  // Taking out cannot fail for want of anything.
  if (operation == EPOLL_CTL_DEL) return real(epoll, operation, fd, event);
  return IsHit(kEpollCtl) ? -1 : real(epoll, operation, fd, event);
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  static const auto real = Real<int(int, int, int, void*, socklen_t*)>("getsockopt");
  return IsHit(kGetsockopt) ? -1 : real(fd, level, name, value, size);
}

int socket(int domain, int type, int protocol) noexcept {
  static const auto real = Real<int(int, int, int)>("socket");
  return IsHit(kSocket) ? -1 : real(domain, type, protocol);
}

int connect(int fd, const sockaddr* address, socklen_t size) {
  static const auto real = Real<decltype(connect)>("connect");
  return IsHit(kConnect) ? -1 : real(fd, address, size);
}

int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  static const auto real = Real<int(int, const sockaddr*, socklen_t)>("bind");
  return IsHit(kBind) ? -1 : real(fd, address, size);
}

int access(const char* path, int mode) noexcept {
  static const auto real = Real<int(const char*, int)>("access");
  return IsHit(kAccess) ? -1 : real(path, mode);
}

int faccessat(int dir, const char* path, int mode, int flags) noexcept {
  static const auto real = Real<int(int, const char*, int, int)>("faccessat");
  return IsHit(kAccess) ? -1 : real(dir, path, mode, flags);
}

int inotify_init1(int flags) noexcept {
  static const auto real = Real<int(int)>("inotify_init1");
  return IsHit(kInotify) ? -1 : real(flags);
}

int inotify_add_watch(int fd, const char* path, uint32_t mask) noexcept {
  static const auto real = Real<int(int, const char*, uint32_t)>("inotify_add_watch");
  return IsHit(kInotify) ? -1 : real(fd, path, mask);
}

int flock(int fd, int operation) noexcept {
  static const auto real = Real<int(int, int)>("flock");
  return IsHit(kFlock) ? -1 : real(fd, operation);
}

int epoll_create1(int flags) noexcept {
  static const auto real = Real<int(int)>("epoll_create1");
  return IsHit(kEpollCreate) ? -1 : real(flags);
}

int eventfd(unsigned int count, int flags) noexcept {
  static const auto real = Real<int(unsigned int, int)>("eventfd");
  return IsHit(kEventfd) ? -1 : real(count, flags);
}

int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  static const auto real = Real<int(int, const sigset_t*, int)>("signalfd");
  return IsHit(kSignalfd) ? -1 : real(fd, mask, flags);
}

// Not by dlsym(), which may want memory itself.
void* __libc_malloc(size_t size);

void* malloc(size_t size) {
  if (mapped_plan != nullptr && IsHit(kMalloc)) return nullptr;
  return __libc_malloc(size);
}

int socketpair(int domain, int type, int protocol, int* fds) noexcept {
  static const auto real = Real<int(int, int, int, int*)>("socketpair");
  return IsHit(kSocketpair) ? -1 : real(domain, type, protocol, fds);
}

int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* files,
                const posix_spawnattr_t* attributes, char* const* arguments,
                char* const* environment) {
  static const auto real = Real<decltype(posix_spawn)>("posix_spawn");
  if (IsHit(kSpawn)) return errno;
  return real(pid, path, files, attributes, arguments, environment);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) noexcept {
  static const auto real =
      Real<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  if (IsHit(kThread)) return errno;
  return real(thread, attributes, run, argument);
}

}  // extern "C"
