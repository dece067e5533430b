// The page docs/collected-data.md, which telemctl carries so that it is on every machine.
#pragma once

#include <string_view>

namespace telem {

std::string_view CollectedData();

}  // namespace telem
