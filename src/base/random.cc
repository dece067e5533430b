#include "base/random.h"

#include <fcntl.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "base/unique_fd.h"

namespace telem {
namespace {

void FillFromDevice(unsigned char* bytes, size_t size) {
  const UniqueFd device(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  while (size > 0) {
    const ssize_t n = ::read(device.get(), bytes, size);
    if (n < 0 && errno == EINTR) continue;
    // Ids that repeat would merge two people's records; there is no honest way on.
    if (n <= 0) std::abort();
    bytes += n;
    size -= static_cast<size_t>(n);
  }
}

}  // namespace

void FillRandom(unsigned char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = ::getrandom(bytes, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FillFromDevice(bytes, size);
    bytes += n;
    size -= static_cast<size_t>(n);
  }
}

}  // namespace telem
