// Clock shift: stands between telemd and libc (LD_PRELOAD) and makes the time of day a wrong one,
// by as many seconds as the first eight bytes of the file TELEM_CLOCK_SHIFT say. A test may change
// them while telemd runs. The monotonic clock goes on, as it does when somebody sets a real clock.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

const std::atomic<int64_t>* MapShift() {
  const char* const path = ::getenv("TELEM_CLOCK_SHIFT");
  if (path == nullptr) return nullptr;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) ::abort();
  void* const at = ::mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) ::abort();
  return static_cast<const std::atomic<int64_t>*>(at);
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const std::atomic<int64_t>* const shift = MapShift();
  static auto* const real =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME && shift != nullptr) time->tv_sec += *shift;
  return result;
}
