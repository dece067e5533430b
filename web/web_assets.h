// The files of the page, embedded into the program.
#pragma once

#include <span>
#include <string_view>

namespace telem {

struct WebAsset {
  std::string_view path;
  const char* content_type;
  const char* etag;  // changes with the bytes
  std::string_view bytes;
};

std::span<const WebAsset> WebAssets();

}  // namespace telem
