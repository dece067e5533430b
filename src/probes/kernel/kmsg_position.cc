#include "probes/kernel/kmsg_position.h"

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxFile = 4096;

// "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25"
bool IsBootId(std::string_view text) {
  constexpr size_t kLength = 36;
  return text.size() == kLength &&
         text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

}  // namespace

std::string KmsgPosition::Save() const {
  std::string text = "boot " + boot_id + "\n";
  if (!former_boot.empty()) text += "former " + former_boot + "\n";
  text += "next ";
  AppendUnsigned(text, next);
  return text + "\n";
}

KmsgPosition KmsgPosition::Load(std::string_view text) {
  KmsgPosition position;
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    const std::string_view key = TakeUntil(line, ' ');
    if (key == "boot" && IsBootId(line)) position.boot_id = line;
    if (key == "former" && IsBootId(line)) position.former_boot = line;
    if (key == "next") position.next = ParseUnsigned(line).value_or(0);
  }
  if (position.boot_id.empty()) position.next = 0;
  return position;
}

Result<KmsgPosition> ReadKmsgPosition(const std::string& path, const std::string& boot_id) {
  const auto text = ReadFile(path, kMaxFile);
  if (!text && text.error().code != ErrorCode::kNotFound &&
      text.error().code != ErrorCode::kTooLarge) {
    return std::unexpected(text.error());
  }
  KmsgPosition position = KmsgPosition::Load(text ? std::string_view(*text) : std::string_view());
  if (position.boot_id != boot_id) {
    position.former_boot = std::exchange(position.boot_id, boot_id);
    position.next = 0;
  }
  return position;
}

std::string ReadBootId() {
  const auto text = ReadFile("/proc/sys/kernel/random/boot_id", kMaxFile);
  return text && IsBootId(Trim(*text)) ? std::string(Trim(*text)) : std::string();
}

std::string FindFormerBoot(const std::string& cache_dir) {
  const auto position = ReadKmsgPosition(KmsgPositionPath(cache_dir), ReadBootId());
  return position ? position->former_boot : std::string();
}

std::string KmsgPositionPath(const std::string& cache_dir) { return cache_dir + "/kmsg-position"; }

}  // namespace telem
