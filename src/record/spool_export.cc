#include "record/spool_export.h"

#include <array>

#include "base/text.h"

namespace telem {
namespace {

// "record ", a name, two numbers and blanks are shorter.
constexpr size_t kMaxHead = 128;

std::string ChecksumOf(const SpoolFileName& name, std::string_view spool_file) {
  const uint32_t crc = Crc32(spool_file, Crc32(name.ToText()));
  const std::array<unsigned char, 4> parts = {
      static_cast<unsigned char>(crc >> 24), static_cast<unsigned char>(crc >> 16),
      static_cast<unsigned char>(crc >> 8), static_cast<unsigned char>(crc)};
  std::string text;
  AppendHex(text, parts.data(), parts.size());
  return text;
}

std::unexpected<Error> Invalid(const char* what) { return Fail(ErrorCode::kInvalid, what); }

Result<std::optional<ExportItem>> TakeRecord(std::string_view head, std::string_view& bytes) {
  const auto name = ParseSpoolFileName(TakeUntil(head, ' '));
  const auto size = ParseUnsigned(TakeUntil(head, ' '));
  if (!name || !size || *size > kMaxSpoolFile || !IsLowerHex(head, 8)) {
    return Invalid("no line of a record");
  }
  if (bytes.size() < *size) return std::nullopt;
  const std::string_view spool_file = bytes.substr(0, *size);
  if (ChecksumOf(*name, spool_file) != head) return Invalid("a record was damaged");
  auto parts = ParseSpoolFile(spool_file, name->payload_size);
  if (!parts) return WithContext("a record's bytes are none", std::move(parts.error()));
  bytes.remove_prefix(*size);
  return ExportItem{.kind = ExportItem::Kind::kRecord, .name = *name, .spool_file = spool_file};
}

}  // namespace

uint32_t Crc32(std::string_view bytes, uint32_t before) {
  static constexpr auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < table.size(); ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) * 0xedb88320u);
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = ~before;
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

std::string ExportHead(const SpoolFileName& name, std::string_view spool_file) {
  std::string head = "record " + name.ToText() + " ";
  AppendUnsigned(head, spool_file.size());
  return head + " " + ChecksumOf(name, spool_file) + "\n";
}

std::string ExportEnd(size_t count) {
  std::string end = "end ";
  AppendUnsigned(end, count);
  return end + "\n";
}

Result<std::optional<ExportItem>> TakeExportItem(std::string_view& bytes) {
  const size_t size = bytes.substr(0, kMaxHead).find('\n');
  if (size == std::string_view::npos) {
    if (bytes.size() < kMaxHead) return std::nullopt;
    return Invalid("no line of an export");
  }
  std::string_view head = bytes.substr(0, size);
  std::string_view rest = bytes.substr(size + 1);
  const std::string_view word = TakeUntil(head, ' ');
  if (word == "record") {
    TELEM_TRY(const auto item, TakeRecord(head, rest));
    if (item) bytes = rest;
    return item;
  }
  const auto count = ParseUnsigned(head);
  if (word != "end" || !count) return Invalid("no line of an export");
  bytes = rest;
  return ExportItem{.kind = ExportItem::Kind::kEnd, .name = {}, .spool_file = {}, .count = *count};
}

}  // namespace telem
