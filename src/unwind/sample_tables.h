// Unwind tables as a linker writes them, for tests and the fuzz corpus.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace telem {

template <typename T>
void AppendValue(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

struct SampleTables {
  static constexpr uint64_t kIndex = 0x1000;     // where .eh_frame_hdr is
  static constexpr uint64_t kEntries = 0x2000;   // and .eh_frame
  static constexpr uint64_t kFunction = 0x3000;  // the first of the functions
  static constexpr uint32_t kFunctionSize = 0x10;

  std::string index;
  std::string entries;

  // For functions with these programs, one behind the other. x86-64: at their start the stack has
  // the return address on top.
  explicit SampleTables(const std::vector<std::string>& programs,
                        std::string_view common = {"\x0c\x07\x08\x90\x01", 5}) {
    AppendEntry(0, std::string("\1zR\0\1\x78\x10\1\x1b", 9) + std::string(common));
    index = {1, 0x1b, 3, 0x3b};
    AppendValue(index, static_cast<int32_t>(kEntries - kIndex - 4));
    AppendValue(index, static_cast<uint32_t>(programs.size()));
    uint64_t function = kFunction;
    for (const std::string& program : programs) {
      const uint64_t at = kEntries + entries.size();
      AppendValue(index, static_cast<int32_t>(function - kIndex));
      AppendValue(index, static_cast<int32_t>(at - kIndex));
      std::string content;
      AppendValue(content, static_cast<int32_t>(function - (at + 8)));
      AppendValue(content, kFunctionSize);
      content += '\0';
      content += program;
      AppendEntry(static_cast<uint32_t>(entries.size() + 4), content);
      function += kFunctionSize;
    }
    AppendValue(entries, uint32_t{0});
  }

 private:
  void AppendEntry(uint32_t id, const std::string& content) {
    AppendValue(entries, static_cast<uint32_t>(sizeof(id) + content.size()));
    AppendValue(entries, id);
    entries += content;
  }
};

}  // namespace telem
