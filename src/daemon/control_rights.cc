#include "daemon/control_rights.h"

#include <unistd.h>

#include <cstdint>
#include <string_view>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// Some 20,000 users, or groups with that many members.
constexpr size_t kMaxFile = size_t{1024} * 1024;

Result<std::string> ReadIfThere(const std::string& path) {
  auto text = ReadFile(path, kMaxFile);
  if (!text && text.error().code == ErrorCode::kNotFound) return std::string();
  return text;
}

// Of a line "NAME:PASSWORD:ID:..." (passwd(5), group(5)).
std::optional<uint32_t> FindId(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    if (TakeUntil(line, ':') != name) continue;
    TakeUntil(line, ':');
    const auto id = ParseUnsigned(TakeUntil(line, ':'));
    if (id && *id < UINT32_MAX) return static_cast<uint32_t>(*id);
  }
  return std::nullopt;
}

}  // namespace

Result<ControlRights> FindControlRights(const std::string& etc) {
  TELEM_TRY(const std::string users, ReadIfThere(etc + "/passwd"));
  TELEM_TRY(const std::string groups, ReadIfThere(etc + "/group"));
  ControlRights rights;
  if (FindId(users, "telemetry") != ::geteuid()) rights.owner = ::geteuid();
  for (const char* const name : {"adm", "telemetry"}) {
    if (const auto group = FindId(groups, name)) rights.readers.push_back(*group);
  }
  return rights;
}

}  // namespace telem
