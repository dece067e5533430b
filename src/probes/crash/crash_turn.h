// CrashTurn: at most two crashes are looked into at once, the others wait a short while. A machine
// on which everything crashes has better things to do than to count frames.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/unique_fd.h"

namespace telem {

class CrashTurn {
 public:
  static constexpr int kAtOnce = 2;

  // Waits at most `patience` for a turn, in the order in which they came; it lasts as long as the
  // object, and ends with the process in any case. Nothing where all turns stayed taken. `folder`
  // is where the locks lie; where they cannot, everybody has a turn.
  static std::optional<CrashTurn> Wait(const std::string& folder,
                                       std::chrono::milliseconds patience);

  // In a child that was forked meanwhile and goes on without a turn: else it would keep it.
  void CloseInChild() { lock_.Reset(); }

 private:
  explicit CrashTurn(UniqueFd lock) : lock_(std::move(lock)) {}

  UniqueFd lock_;
};

}  // namespace telem
