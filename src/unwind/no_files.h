// NoFiles: a machine on which no module's file is left, for tests.
#pragma once

#include <string_view>

#include "unwind/unwinder.h"

namespace telem {

class NoFiles final : public ModuleFiles {
 public:
  UniqueFd OpenModule(size_t /*index*/) override { return UniqueFd(); }
  UniqueFd OpenDebugFile(size_t /*index*/, std::string_view /*build_id*/,
                         std::string_view /*debuglink*/) override {
    return UniqueFd();
  }
};

}  // namespace telem
