// Which package a file belongs to, by what dpkg keeps in its folder.
#pragma once

#include <string>

namespace telem {

// "NAME VERSION", or empty. Only reads below `folder` (/var/lib/dpkg), a bounded amount.
std::string FindDebianPackage(const std::string& folder, const std::string& path);

}  // namespace telem
