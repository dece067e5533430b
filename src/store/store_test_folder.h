// A folder for one test, gone when it ends.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace telem {

class TestFolder {
 public:
  TestFolder() {
    char path[] = "/tmp/telem-store-XXXXXX";
    EXPECT_NE(::mkdtemp(path), nullptr);
    path_ = path;
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

  void Write(std::string_view name, std::string_view bytes) const {
    std::ofstream(*this / name) << bytes;
  }
  std::string Read(std::string_view name) const {
    std::ostringstream bytes;
    bytes << std::ifstream(*this / name).rdbuf();
    return bytes.str();
  }
  size_t CountFiles(std::string_view folder) const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(*this / folder)) {
      ++count;
    }
    return count;
  }

 private:
  std::string path_;
};

}  // namespace telem
