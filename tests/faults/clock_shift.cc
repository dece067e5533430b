// Clock shift: stands between telemd and libc (LD_PRELOAD) and makes the time of day a wrong one,
// by as many seconds as the first eight bytes of the file TELEM_CLOCK_SHIFT say; the next eight say
// how many seconds the machine has slept, which is told by the time of day and CLOCK_BOOTTIME. A
// test may change them while telemd runs. CLOCK_MONOTONIC goes on, as it does when somebody sets a
// real clock, or lets a real machine sleep.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

struct Shift {
  std::atomic<int64_t> of_day;
  std::atomic<int64_t> slept;
};

const Shift* MapShift() {
  const char* const path = ::getenv("TELEM_CLOCK_SHIFT");
  if (path == nullptr) return nullptr;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) ::abort();
  void* const at = ::mmap(nullptr, sizeof(Shift), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) ::abort();
  return static_cast<const Shift*>(at);
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const Shift* const shift = MapShift();
  static auto* const real =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, time);
  if (result != 0 || shift == nullptr) return result;
  if (clock == CLOCK_REALTIME) time->tv_sec += shift->of_day + shift->slept;
  if (clock == CLOCK_BOOTTIME) time->tv_sec += shift->slept;
  return result;
}
