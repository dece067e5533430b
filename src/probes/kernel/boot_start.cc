#include "probes/kernel/boot_start.h"

#include <ctime>

#include "base/clock.h"

namespace telem {

std::chrono::sys_seconds FindBootStart() {
  timespec up;
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return std::chrono::floor<std::chrono::seconds>(SystemClock().Now()) -
         std::chrono::seconds(up.tv_sec);
}

}  // namespace telem
