// Random bytes from the kernel. Only ever used for ids, and handed in where tests want the same
// ones each time.
#pragma once

#include <cstddef>

namespace telem {

// Fills `bytes` from getrandom(2). Cannot fail: before the kernel's pool is ready (early boot) it
// waits, and on a kernel without the call it falls back to /dev/urandom.
void FillRandom(unsigned char* bytes, size_t size);

}  // namespace telem
