#include "probes/kernel/kmsg_record.h"

#include "base/text.h"

namespace telem {

std::optional<KmsgRecord> ParseKmsgRecord(std::string_view line) {
  constexpr std::string_view kCaller = "caller=";
  const size_t semicolon = line.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  std::string_view head = line.substr(0, semicolon);
  KmsgRecord record;
  record.text = line.substr(semicolon + 1);
  const auto priority = ParseUnsigned(TakeUntil(head, ','));
  const auto sequence = ParseUnsigned(TakeUntil(head, ','));
  const auto time = ParseUnsigned(TakeUntil(head, ','));
  const std::string_view flags = TakeUntil(head, ',');
  if (!priority || *priority > UINT32_MAX || !sequence || *sequence == UINT64_MAX || !time ||
      flags.empty()) {
    return std::nullopt;
  }
  record.priority = static_cast<uint32_t>(*priority);
  record.sequence = *sequence;
  record.time_us = *time;
  record.flag = flags[0];
  // Fields that later kernels may add are passed over, as the format asks.
  while (!head.empty()) {
    const std::string_view field = TakeUntil(head, ',');
    if (field.starts_with(kCaller)) record.caller = field.substr(kCaller.size());
  }
  return record;
}

}  // namespace telem
