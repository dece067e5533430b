// One header or one parameter of a request: views into memory that the server keeps.
#pragma once

#include <string_view>

namespace telem {

struct HttpField {
  std::string_view name;
  std::string_view value;
};

}  // namespace telem
