// When this boot began.
#pragma once

#include <chrono>

namespace telem {

// By the clock of now, which may have been wrong then. Time that the machine slept counts.
std::chrono::sys_seconds FindBootStart();

}  // namespace telem
